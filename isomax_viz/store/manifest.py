"""What the manifest of an experiment must hold to be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

__all__ = ["Manifest"]


def _moment(text: str) -> str:
    datetime.fromisoformat(text).astimezone(UTC)
    return text


_Whole = Annotated[int, Field(ge=0, lt=2**63)]


class _File(BaseModel):
    bytes: _Whole
    sha256: str


class _Description(BaseModel):
    data: str
    backbone: str
    loss: str
    seed: _Whole
    preset: str
    outliers: str | None = None


class _Protocol(BaseModel):
    epochs: _Whole


class Manifest(BaseModel):
    """What every manifest says that somebody reads; it may say more."""

    created: Annotated[str, AfterValidator(_moment)]
    experiment: _Description
    protocol: _Protocol
    files: dict[str, _File]
    accuracy: float
    entropic_scale: float | None
    duration_s: float
    device: str
