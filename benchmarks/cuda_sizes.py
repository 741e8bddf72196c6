"""Large cases around the sizes at which CUDA kernels change: tiles of matrix products, cuDNN's persistent kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import JUDGED_DTYPES, Recipe
from conformance.engine.plan import Settings, plan
from conformance.properties.model import Property

#: What is asked of a large case. Of the gradients, those properties that keep the sizes; the others cut them down.
ASKED = ("values", "gradients.untapped", "gradients.sums", "purity.repeat")

#: At most so many preactivations in a layer: the oracle holds some twenty arrays of them in float64.
MOST = 2**24


def _tiles() -> Iterator[Recipe]:
    """Hidden sizes about powers of two, to 2,048; in few rows and in many."""
    for H in (255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2047, 2048):
        yield Recipe(I=H // 2 + 3, H=H, L=5, N=17, state="both")
    yield Recipe(I=2048, H=2048, L=2, N=256)
    yield Recipe(I=2048, H=2048, L=96, N=1, state="both")
    yield Recipe(I=1, H=2048, L=256, N=4)


def _rows() -> Iterator[Recipe]:
    """Batches about multiples of 64, to 256."""
    for N in (63, 64, 65, 127, 128, 129, 255, 256):
        yield Recipe(I=40, H=96, L=12, N=N, state="both")


def _steps() -> Iterator[Recipe]:
    """Sequences to 4,096 steps."""
    for L in (1000, 1023, 1024, 1025, 2047, 2048, 4095, 4096):
        yield Recipe(I=24, H=64, L=L, N=2, state="both")
    yield Recipe(I=8, H=1024, L=4096, N=1)
    yield Recipe(I=8, H=16, L=4096, N=33, gain=3.0)


def _persistent() -> Iterator[Recipe]:
    """Where torch has cuDNN take a persistent kernel, and just outside.

    For a small H: at most 192 forward and 128 backward, not in float64, neither projected nor with lengths. In float16
    besides: one layer, one direction, I and H multiples of 128, H at most 1,024, N a multiple of 8 and at most 128.
    """
    for H in (127, 128, 129, 160, 191, 192, 193):
        yield Recipe(I=65, H=H, L=40, N=33, state="both")
    yield Recipe(I=65, H=192, L=40, N=9, layers=2, bidirectional=True)
    yield Recipe(I=65, H=193, L=40, N=9, layers=2, bidirectional=True)
    for H, N in ((256, 8), (384, 128), (512, 64), (896, 96), (1024, 16), (1024, 128)):
        yield Recipe(I=128, H=H, L=24, N=N, state="both", dtype="float16")
    for I, H, N in ((128, 256, 12), (120, 256, 8), (128, 1152, 8), (128, 256, 136), (128, 264, 8)):  # noqa: E741
        yield Recipe(I=I, H=H, L=24, N=N, state="both", dtype="float16")


def _options() -> Iterator[Recipe]:
    """Options at sizes that matter: packed rows, projections, stacks, batch-first."""
    yield Recipe(I=64, H=256, L=60, N=128, ragged=True)
    yield Recipe(I=100, H=192, L=500, N=9, ragged=True, bidirectional=True, state="both")
    yield Recipe(I=100, H=1024, proj=512, L=12, N=32, state="both")
    yield Recipe(I=100, H=512, proj=63, L=30, N=33, layers=2, bidirectional=True)
    yield Recipe(I=200, H=512, L=20, N=64, layers=2, bidirectional=True, state="both")
    yield Recipe(I=33, H=300, L=64, N=31, layers=3, batch_first=True, bias=False)
    yield Recipe(I=33, H=128, L=600, N=1, unbatched=True, bidirectional=True)


def recipes() -> list[Recipe]:
    """Every large case: those that name a dtype in it, the others in float32, and each in one dtype more."""
    found = []
    plain = [*_tiles(), *_rows(), *_steps(), *_persistent(), *_options()]
    others = [dtype for dtype in JUDGED_DTYPES if dtype != "float32"]
    for number, recipe in enumerate(plain):
        found.append(replace(recipe, seed=number))
        if recipe.dtype == "float32" and others:
            found.append(replace(recipe, seed=number, dtype=others[number % len(others)]))
    return found


def declared(recipe: Recipe, capabilities: Capabilities) -> bool:
    """Whether a backend of these capabilities can be asked about a recipe."""
    c = capabilities
    needed = (
        (recipe.layers > 1, c.layers),
        (recipe.bidirectional, c.bidirectional),
        (not recipe.bias, c.no_bias),
        (recipe.batch_first, c.batch_first),
        (recipe.unbatched, c.unbatched),
        (recipe.proj > 0, c.projection),
        (recipe.ragged, c.lengths),
        (recipe.N > 1, c.batch),
        (recipe.state != "none", c.initial_state),
    )
    return recipe.dtype in c.dtypes and c.fixed is None and all(has for asked, has in needed if asked)


def asked(recipe: Recipe, backend: Backend) -> list[Property]:
    """The properties that a large case is judged by."""
    return [p for p in plan(backend, Settings(only=ASKED)).asked if p.when(recipe)]
