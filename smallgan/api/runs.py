"""Generators, of runs and of files: `load`, samples in memory, and samples on disk as `smallgan sample` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from augment.errors import UsageError
from smallgan.api.exports import export
from smallgan.api.paths import StrPath, as_path
from smallgan.api.reports import Report, write_report
from smallgan.api.scores import Scores, score
from smallgan.core.run_dir import RunDir, read_jsonl

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from smallgan.data.images import Pixels
    from smallgan.sampling.loading import Model
    from smallgan.sampling.request import Request
    from smallgan.sampling.sample import Drawing
    from smallgan.tables.recipe import Recipe


class Samples(Sequence["Image"]):
    """Images of a generator, in memory. A notebook shows them as a grid; `samples[3]` is an image of Pillow."""

    def __init__(self, pixels: Pixels, drawing: Drawing, request: Request, model: Model) -> None:
        """Hold the images of a generator; `Generator.sample` makes one.

        Args:
            pixels: the images, uint8, N x S x S x 3.
            drawing: latents and classes of the images, N of each, and their places in a grid.
            request: the options that they were asked for with.
            model: the generator that made them.
        """
        self.pixels = pixels
        """uint8, N x S x S x 3."""
        self._drawing, self._request, self._model = drawing, request, model

    @property
    def labels(self) -> NDArray[Any] | None:
        """Class of each image, N; None where the generator has one class or none."""
        return self._drawing.inputs.labels

    @property
    def latents(self) -> NDArray[Any]:
        """Latents that the images are made from, float32, N x Z."""
        return self._drawing.inputs.z

    def grid(self, columns: int | None = None) -> Image:
        """Return the first 100 images in one picture, small ones enlarged; `columns` None makes it about square.

        Of `per_class` it has the first images of each class, in rows of their own. Points are all drawn in the plane.
        """
        from PIL import Image

        from smallgan.data.images import enlarged, grid
        from smallgan.data.points import picture

        if self._model.size == 1:
            return Image.fromarray(picture(self.pixels))
        layout = self._drawing.layout
        shown = [self.pixels[place] for place in layout.places if place < len(self)]
        return Image.fromarray(enlarged(grid(shown, columns or layout.columns), self.pixels.shape[1]))

    def save(self, out: StrPath | None = None) -> list[Path]:
        """Write what `smallgan sample` writes: images/, grid.png and samples.json; return the paths, the grid first.

        `out` None is the same folder too: in samples/ of the run, or in samples/ here for a generator without a run.
        Raises UsageError for a folder with other files in it, and OutputError.
        """
        from smallgan.sampling.sample import write_drawn

        return write_drawn(replace(self._request, out=as_path(out)), self._model, self._drawing, iter(self.pixels))

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, item: Any) -> Any:
        from PIL import Image

        if self._model.size == 1:
            raise UsageError(
                f"{self._model.path} makes points in the plane, not images; pixels holds their coordinates"
            )
        if isinstance(item, slice):
            return [Image.fromarray(pixels) for pixels in self.pixels[item]]
        return Image.fromarray(self.pixels[item])

    def __repr__(self) -> str:
        count, side = self.pixels.shape[:2]
        return f"{count} images of {side} x {side} px from {self._model.path}"

    def _repr_png_(self) -> bytes:
        import numpy as np

        from augment.imaging.codec import encode_png

        return encode_png(np.asarray(self.grid()))


class Generator:
    """A generator ready to sample from. Wherever a path is taken, it may stand for its file or folder."""

    def __init__(self, path: StrPath, *, checkpoint: str = "last", device: str = "auto") -> None:
        """Name a generator; nothing is read before it is used.

        Args:
            path: a run folder, a checkpoint, a pretrained generator (file or folder), or the name of one in
                `smallgan weights list`.
            checkpoint: of a run: last, best or a step.
            device: auto (a GPU where torch can use one), cpu, cuda, cuda:N or mps.
        """
        self.path, self.checkpoint, self.device = Path(path), checkpoint, device

    @cached_property
    def model(self) -> Model:
        """The loaded network with all that sampling knows of it. Raises InputError and UsageError."""
        from smallgan.core.device import choose_device
        from smallgan.sampling.loading import load_and_say_notes

        return load_and_say_notes(self.path, choose_device(self.device), self.checkpoint)

    @property
    def size(self) -> int:
        """Side of its images in pixels."""
        return self.model.size

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes, () where they are not known."""
        return self.model.classes

    def sample(
        self,
        count: int | None = None,
        *,
        per_class: int | None = None,
        seed: int = 0,
        seeds: str | None = None,
        label: str | None = None,
        truncation: float | None = None,
        around_codes: float | None = None,
        prior: str | None = None,
        latents: StrPath | None = None,
        labels: StrPath | None = None,
    ) -> Samples:
        """Return images: k = 0 .. count - 1 of one seed. They are those of `smallgan sample` with the same options.

        Args:
            count: number of images, from 1; None: 36.
            per_class: number of images of each class instead, from 1; saved in a folder for each class.
            seed: latents and classes are drawn from it; a whole number from 0.
            seeds: one image for each of these seeds instead, such as "0-35" or "1,4-6".
            label: one class for all, by name or number; None: drawn for each.
            truncation: threshold above 0: components of z beyond it are drawn again; None: none.
            around_codes: sample around the latents of training images (bsa, apgc, imle), so many of their standard
                deviations away, 0 or more; None: what the run recommends.
            prior: "normal": draw from N(0, I), whatever the run recommends.
            latents: a .npy file of your own latents, float32, N x Z.
            labels: a .npy file with their classes, int64, N.

        Raises UsageError, and InputError for files that cannot be used.
        """
        import numpy as np

        from smallgan.sampling.latents import generate
        from smallgan.sampling.request import Request, check
        from smallgan.sampling.sample import draw, opened, with_prior

        request = Request(
            self.path,
            count=count,
            per_class=per_class,
            seed=seed,
            seeds=seeds,
            label=label,
            truncation=truncation,
            around_codes=around_codes,
            prior=prior,
            latents=as_path(latents),
            labels=as_path(labels),
            checkpoint=self.checkpoint,
            device=self.device,
        )
        check(request)
        # a BigGAN-deep has other moments for each truncation
        model = with_prior(self.model if truncation is None else opened(request), request)
        drawing = draw(request, model)
        return Samples(np.stack(list(generate(model, drawing.inputs))), drawing, request, model)

    def export(self, format: str = "onnx", out: StrPath | None = None) -> list[Path]:
        """Write it for use elsewhere as `smallgan.export` does; returns the files, the one to name first."""
        return export(self.path, format, out, checkpoint=self.checkpoint)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{self.path}: a generator of {self.size} x {self.size} px{classes}, on {self.model.device}"


class Run(Generator):
    """A training run. Its folder holds the recipe, checkpoints, grids and scores."""

    def __init__(self, path: StrPath, *, checkpoint: str = "last", device: str = "auto") -> None:
        """Name a run; nothing is read before it is used.

        Args:
            path: the run folder.
            checkpoint: that samples and scores come from: last, best or a step.
            device: auto (a GPU where torch can use one), cpu, cuda, cuda:N or mps.
        """
        super().__init__(path, checkpoint=checkpoint, device=device)
        self._files = RunDir(self.path)

    @property
    def recipe(self) -> Recipe:
        """The settings of the run, every key filled in."""
        from smallgan.tables.recipe import read_recipe

        return read_recipe(self._files.recipe)

    @property
    def step(self) -> int:
        """Step of the newest checkpoint, 0 where there is none."""
        return self._files.last_step()

    @property
    def is_complete(self) -> bool:
        """Whether all steps of the recipe are done; if not, the same call of `train` goes on."""
        return self._files.reached(self.recipe.train.steps)

    @property
    def scores(self) -> Scores:
        """The newest scores that are written in the run, one of each metric and network."""
        lines = read_jsonl(self._files.scores) if self._files.scores.is_file() else []
        return Scores.newest(lines)

    def summary(self) -> dict[str, Any]:
        """Return how far it is and how it scores, as `smallgan train --json` prints it."""
        steps = {"step": self.step, "steps": self.recipe.train.steps, "is_complete": self.is_complete}
        best = self._files.best_step()
        return {"run": str(self.path), **steps, "best_step": best, "scores": self.scores.to_json()}

    def score(self, real: StrPath | None = None, **options: Any) -> Scores:
        """Score samples of this run as `smallgan.score` does; the run keeps the scores too.

        Args:
            real: what to compare with; None: the run's own originals, held-out ones where there are some.
            options: keywords of `smallgan.score`, explained there: metrics, features, num_fake, splits, resize_mode,
                checkpoint, augmented, source, target, per_image, worst, quick, precision, skip_bad, seed, device, out,
                show.

        Raises UsageError, InputError, MissingError and OutputError.
        """
        own = {"checkpoint": self.checkpoint, "device": self.device}
        return score(self.path, real, **own | options)

    def report(self, out: StrPath | None = None) -> Report:
        """Write the page of this run, report.html in its folder or `out`. Raises InputError and OutputError."""
        return write_report([self.path], out)

    def __repr__(self) -> str:
        recipe = self.recipe
        scores = "; ".join(f"{each.shown_label} {each.value:.4g}" for each in self.scores)
        what = f"{recipe.model_name}, {recipe.data.size} px, step {self.step} of {recipe.train.steps}"
        return f"{self.path}: {what}" + (f"; {scores}" if scores else "")

    def _repr_png_(self) -> bytes | None:
        """The newest grid of samples."""
        grids = self._files.grids()
        return grids[max(grids)].read_bytes() if grids else None


def load(path: StrPath, *, checkpoint: str = "last", device: str = "auto") -> Generator:
    """Return a run, or the generator of a checkpoint or of a pretrained file or folder, ready to sample from.

    Args:
        path: a run folder gives a `Run`; a checkpoint, a pretrained generator (file or folder), or the name of one in
            `smallgan weights list`, a `Generator`.
        checkpoint: of a run: last, best or a step.
        device: auto (a GPU where torch can use one), cpu, cuda, cuda:N or mps.

    Raises InputError where nothing can be loaded from there, MissingError for weights that are not on this machine, and
    UsageError for a device or checkpoint that is not.
    """
    place = Path(path)
    if RunDir(place).exists():
        run = Run(place, checkpoint=checkpoint, device=device)
        if run.step and run.recipe.method_row.makes_images:  # others can still be looked at
            _ = run.model
        return run
    found = Generator(place, checkpoint=checkpoint, device=device)
    _ = found.model  # what is wrong with the file is told here
    return found


@dataclass(frozen=True, repr=False)
class SampleFiles:
    """What `sample` wrote."""

    values: Mapping[str, Any]
    """As `smallgan sample --json` prints it."""

    @property
    def files(self) -> list[Path]:
        """Paths of all files; the grid, the strip or the array first."""
        return [Path(path) for path in self.values["files"]]

    @classmethod
    def of(cls, model: StrPath, **options: Any) -> Self:
        """Return what `smallgan sample` with these options writes."""
        from smallgan.sampling.request import Request
        from smallgan.sampling.sample import sample

        paths = {name: as_path(options[name]) for name in ("latents", "labels", "raw", "out") if name in options}
        return cls(sample(Request(Path(model), **options | paths)))

    @property
    def error_text(self) -> str:
        """Of reconstructions that were compared with the training images, how far they are apart; else ""."""
        if not self.values.get("num_compared"):
            return ""
        error, number = self.values["mean_abs_error_levels"], self.values["num_compared"]
        return f"mean absolute error {error:g} of 255 levels over {number} images"

    def _repr_png_(self) -> bytes | None:
        first = self.files[0]
        return first.read_bytes() if first.suffix == ".png" else None
