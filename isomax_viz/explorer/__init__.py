"""What people click: the explorer, drawn in the browser, and the teaching lab. It works without PyTorch."""
