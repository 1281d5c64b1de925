"""DownstreamDir: the only place that knows the names of the files of a downstream study. Torch-free."""

from contextlib import AbstractContextManager
from pathlib import Path

from smallgan.core.run_dir import RunDir, try_lock


class DownstreamDir:
    """One downstream study on disk. Making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.recipe = path / "recipe.yaml"
        self.split = path / "split.json"
        """Which images test and which train, by name and hash."""
        self.trials = path / "trials"
        self.results = path / "results.json"
        self.table = path / "results.csv"
        """A row for each variant, number of images a class, and measure."""
        self.trial_table = path / "trials.csv"
        """A row for each classifier."""
        self.pictures = path / "pictures"
        """PNG of each test image that the page shows, by its place in the test part."""
        self.report = path / "report.html"
        self.log = path / "log.txt"

    def exists(self) -> bool:
        """Tell whether a study was started here."""
        return self.split.is_file()

    def trial(self, name: str) -> Path:
        """Return the file of a trained classifier's measures: it is written last, so it says that all is there."""
        return self.trials / f"{name}.json"

    def predictions(self, name: str) -> Path:
        """Return the file of its class probabilities of the test images, in the order of split.json."""
        return self.trials / f"{name}.safetensors"

    def picture(self, place: int) -> Path:
        """Return the file of a picture of a test image."""
        return self.pictures / f"{place:06d}.png"

    def training_part(self, name: str) -> Path:
        """Return the folder of the images that a generator is trained on: nothing else is in it."""
        return self.path / "generators" / f"{name}-images"

    def generator(self, name: str) -> RunDir:
        """Return the run of a generator."""
        return RunDir(self.path / "generators" / name)

    def claimed(self) -> AbstractContextManager[bool]:
        """Hold the study for this process: gives False where another has it. A kill leaves no stale claim."""
        return try_lock(self.path / ".lock")
