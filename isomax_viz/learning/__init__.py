"""The half that needs PyTorch: heads, backbones, the training loop, recording."""
