"""Backbones we did not write: `timm:NAME`, trained as torch modules and read only as exported graphs."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import torch
from torch import nn

from specs.errors import SpecError, nearest

_library: Any = None


def timm_module(architecture: str, shape: tuple[int, ...], classes: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The module for `timm:NAME` (NCHW → logits) and notes on its weights.

    Raises:
        SpecError: no such model, or one that cannot take inputs of `shape`.
    """
    check_timm(architecture, shape)
    import timm

    name = architecture.partition(":")[2]
    notes: tuple[str, ...] = ()
    module = None
    if os.environ.get("EDGE_ADVISOR_PRETRAINED", "1") != "0" and timm.models.is_model_pretrained(name):
        module, notes = _pretrained(timm, name, shape, classes)
    if module is None:
        module = _create(timm, name, shape, classes, pretrained=False)
        notes = notes or (f"{name}: trained from random initialisation, no pretrained weights exist",)
    with torch.no_grad():
        try:
            module.eval()(torch.zeros(1, shape[2], *shape[:2]))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise SpecError(f"{architecture} cannot take inputs of {shape}", where="search.architectures",
                            seen=str(error).split("\n")[0]) from error  # fmt: skip
    return module, notes


def check_timm(architecture: str, shape: tuple[int, ...]) -> None:
    """Raise SpecError unless timm has `timm:NAME` and inputs of `shape` are images."""
    ensure_torchvision()
    import timm

    name = architecture.partition(":")[2]
    if len(shape) != 3:
        raise SpecError(f"{architecture} takes images", where="search.architectures", seen=f"inputs of {shape}",
                        allowed="image or feature-map tasks")  # fmt: skip
    if not timm.is_model(name):
        raise SpecError("timm has no such model", where="search.architectures", seen=name,
                        next=nearest(name, timm.list_models()) or "see timm.list_models()")  # fmt: skip


def _pretrained(timm: Any, name: str, shape: tuple[int, ...], classes: int) -> tuple[nn.Module | None, tuple[str, ...]]:
    _offline_unless_reachable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _create(timm, name, shape, classes, pretrained=True), (f"{name}: pretrained weights",)
    except Exception as error:  # the hub client raises its own classes, changing between releases
        reason = type(error).__name__
        return None, (f"{name}: pretrained weights could not be had ({reason}); trained from random initialisation",)


def _offline_unless_reachable() -> None:
    """Where the model hub does not answer within three seconds, look in the local cache only, without retries."""
    import logging
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub import constants

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    where = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((where.hostname or "", where.port or 443), timeout=3).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True


def _create(timm: Any, name: str, shape: tuple[int, ...], classes: int, *, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {"pretrained": pretrained, "in_chans": shape[2], "num_classes": classes}
    try:
        # transformers fix their position embeddings to the input's size
        module: nn.Module = timm.create_model(name, img_size=tuple(shape[:2]), **options)
    except TypeError:
        module = timm.create_model(name, **options)
    return module


def ensure_torchvision() -> None:
    """Make torchvision importable beside a CPU-only torch; timm imports it eagerly.

    The common Linux wheel of torchvision is built for CUDA: its extension cannot load, and the import dies because
    two operator schemas are missing. Declaring them is enough; the operators themselves stay unavailable.
    """
    global _library
    try:
        import torchvision

        return
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]  # half imported
    _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
