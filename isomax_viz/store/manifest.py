"""What the manifest of an experiment must hold to be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["Manifest"]


def _moment(text: str) -> str:
    datetime.fromisoformat(text).astimezone(UTC)
    return text


_Whole = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _File(_Part):
    bytes: _Whole
    sha256: str


class _Description(_Part):
    data: str
    backbone: str
    loss: str
    seed: _Whole
    preset: str
    outliers: str | None = None


class _Protocol(_Part):
    epochs: _Whole


class Manifest(_Part):
    """What every manifest says that somebody reads; it may say more."""

    created: Annotated[str, AfterValidator(_moment)]
    experiment: _Description
    protocol: _Protocol
    files: dict[str, _File]
    accuracy: float
    entropic_scale: float | None
    duration_s: float
    device: str
