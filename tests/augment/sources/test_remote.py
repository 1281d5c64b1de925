"""Sources at a URL: the same set as the same files on disk, copied once, whole or not at all; errors name the URL."""

import shutil
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from augment.errors import InputError, MissingError
from augment.sources.image_set import content_hash
from augment.sources.readers import open_source
from augment.sources.remote import absolute, folder, url_of, usage
from smallgan.cli import app
from smallgan.core.run_dir import RunDir
from smallgan.data.run_source import open_run_source


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def memory():
    """A storage in the memory of this process; counts the files that were fetched."""
    storage = fsspec.filesystem("memory")
    storage.store.clear()
    yield storage
    storage.store.clear()


@pytest.fixture
def fetched(monkeypatch):
    found, get = [], MemoryFileSystem.get_file

    def get_file(storage, key, *rest, **more):
        found.append(key)
        return get(storage, key, *rest, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    return found


def put(storage, local, key):
    for path in [local] if local.is_file() else sorted(path for path in local.rglob("*") if path.is_file()):
        below = path.relative_to(local).as_posix()
        storage.pipe_file(f"{key}/{below}" if below != "." else key, path.read_bytes())


@pytest.fixture
def classes(tiny_set, tmp_path):
    """The tiny set in two class folders, with a file that is no image and a hidden one."""
    root = tmp_path / "shapes"
    for number, path in enumerate(sorted(tiny_set.iterdir())):
        (root / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / "ab"[number % 2])
    (root / "notes.md").write_text("no image", encoding="utf-8")
    (root / ".hidden.png").write_bytes(b"none")
    return root


def same(one, other):
    return one.images == other.images and one.name == other.name and content_hash(one, {}) == content_hash(other, {})


def test_a_url_is_told_from_a_path_also_once_it_was_a_path():
    assert url_of("s3://bucket/photos/a.zip") == "s3://bucket/photos/a.zip"
    assert url_of(Path("s3://bucket/photos")) == "s3://bucket/photos"
    assert [url_of(name) for name in ("photos", "/photos", "C:/photos", "C:\\photos", "a:b", "photos/s3://x")] == [
        None
    ] * 6
    assert absolute(Path("S3://bucket/photos")) == "s3://bucket/photos"
    assert absolute(Path("photos")) == str(Path.cwd() / "photos")


def test_a_folder_at_a_url_is_the_set_of_the_same_files_and_is_fetched_once(classes, memory, fetched):
    put(memory, classes, "/bucket/shapes")
    local, there = open_source(classes), open_source(Path("memory://bucket/shapes"))
    assert same(local, there)
    assert {image.label for image in there.images} == {"a", "b"}
    assert there.notes[0].startswith("memory://bucket/shapes: 12 file(s), read from the copy in ")
    assert len(fetched) == 12, "neither notes.md nor the hidden file"
    assert same(open_source(Path("memory://bucket/shapes")), local)
    assert len(fetched) == 12
    changed = (classes / "a/shape-00.png").read_bytes() + b"\0"
    memory.pipe_file("/bucket/shapes/a/shape-00.png", changed)
    assert open_source(Path("memory://bucket/shapes")).read(0) == changed
    assert there.read(0) != changed, "a set that is open stays as it was"
    count, num_bytes = usage(clear=True)
    assert (count, num_bytes > 2000, usage()) == (2, True, (0, 0))


def test_a_zip_an_array_file_a_list_and_an_image_at_a_url_are_read(classes, memory, tmp_path):
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        for path in sorted(classes.rglob("shape-*")):
            archive.write(path, path.relative_to(classes))
    np.savez(tmp_path / "digits.npz", images=np.arange(5 * 8 * 8, dtype=np.uint8).reshape(5, 8, 8))
    (tmp_path / "some.txt").write_text("shapes/a/shape-00.png\tx\nshapes/b/shape-01.png\ty\n", encoding="utf-8")
    put(memory, classes, "/bucket/deep/shapes")
    for name in ("shapes.zip", "digits.npz", "some.txt", "shapes/a/shape-00.png"):
        if "/" not in name:
            put(memory, tmp_path / name, f"/bucket/deep/{name}")
        assert same(open_source(Path(f"memory://bucket/deep/{name}")), open_source(tmp_path / name)), name
    assert len(open_source(Path("memory://bucket/deep/digits.npz/images"))) == 5, "one array of a file"
    memory.rm_file("/bucket/deep/shapes/a/shape-00.png")
    with pytest.raises(InputError, match=r"names 1 images that are not there: shapes/a/shape-00\.png"):
        open_source(Path("memory://bucket/deep/some.txt"))


@pytest.mark.parametrize("name", ["../other/secret.png", "../../../../../secret.png", "/secret.png"])
def test_a_list_reaches_nothing_outside_of_its_bucket(memory, name):
    memory.pipe_file("/other/secret.png", b"x")
    memory.pipe_file("/bucket/list.txt", name.encode())
    with pytest.raises(
        InputError, match=r"memory://bucket/list.txt: names .*secret.png', which lies outside of its bucket"
    ):
        open_source(Path("memory://bucket/list.txt"))


@pytest.mark.parametrize("key", ["/bucket/a//x.png", "/bucket/a\\x.png"])
def test_a_key_that_is_no_name_of_a_file_is_refused_and_nothing_is_kept(monkeypatch, key):
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *_, **__: {key: {"size": 1}})
    with pytest.raises(InputError, match=r"memory://bucket: .* cannot be the name of a file here"):
        open_source(Path("memory://bucket"))
    assert not [path for path in folder().rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_what_breaks_off_leaves_nothing_and_is_fetched_the_next_time(classes, memory, monkeypatch):
    put(memory, classes, "/bucket/shapes")

    def broken(_storage, key, *_rest, **_more):
        raise ConnectionResetError(f"{key}: the line is cut")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", broken)
        with pytest.raises(InputError, match="memory://bucket/shapes: cannot be read"):
            open_source(Path("memory://bucket/shapes"))
    assert [path.suffix for path in folder().iterdir()] in ([], [".lock"])
    assert len(open_source(Path("memory://bucket/shapes"))) == 12


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://bucket/nothing", "memory://bucket/nothing: no such bucket, folder or file; check the name"),
        ("memory://bucket/notes.md", "memory://bucket/notes.md: neither a folder nor a zip"),
        ("memory://bucket/texts", "memory://bucket/texts: no image in it (1 other files)"),
        ("nonsense://bucket/photos", "nonsense://bucket/photos: no storage is called nonsense"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong_with_a_url(memory, url, said):
    memory.pipe_file("/bucket/notes.md", b"x")
    memory.pipe_file("/bucket/texts/notes.md", b"x")
    error = CliRunner().invoke(app, ["inspect", url]).exception
    assert isinstance(error, InputError)
    assert error.exit_code == 2
    assert str(error).startswith(said)
    assert "\n" not in str(error)


def test_the_images_of_a_run_are_found_again_at_their_url(classes, memory, tmp_path):
    put(memory, classes, "/bucket/shapes")
    summary = {"source": "memory://bucket/shapes", "source_path": absolute(Path("memory://bucket/shapes"))}
    assert same(open_run_source(RunDir(tmp_path / "run"), summary), open_source(classes))


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingError, match=r"s3://bucket/photos: .*pip install 'smallgan\[s3\]'"):
        open_source(Path("s3://bucket/photos"))


def test_a_path_of_this_machine_imports_no_storage(tiny_set, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    assert len(open_source(tiny_set)) == 12


@pytest.fixture(scope="module")
def s3():
    """An S3 of this process, by moto, on a free port."""
    import os

    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    named = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (named | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
            patch.setitem(os.environ, name, value)
        storage = fsspec.filesystem("s3", skip_instance_cache=True)
        storage.mkdir("bucket")
        yield storage
    server.stop()


@pytest.mark.slow
def test_s3_gives_the_same_set_and_names_what_is_not_there(classes, s3, tmp_path):
    s3.put(str(classes), "bucket/shapes", recursive=True)
    s3.pipe_file("bucket/shapes/empty/", b"")  # as consoles make folders
    assert same(open_source(Path("s3://bucket/shapes")), open_source(classes))
    result = CliRunner().invoke(
        app, ["augment", "s3://bucket/shapes", "--policy", "hflip", "--out", str(tmp_path / "s3")]
    )
    assert result.exit_code == 0, result.stderr
    assert (
        CliRunner().invoke(app, ["augment", str(classes), "--policy=hflip", f"--out={tmp_path / 'here'}"]).exit_code
        == 0
    )
    for name in ("plan.json", "metadata.jsonl"):
        assert (tmp_path / "s3" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    for url in ("s3://bucket/other", "s3://no-such-bucket/photos"):
        with pytest.raises(InputError, match=f"{url}: no such bucket, folder or file"):
            open_source(Path(url))


@pytest.mark.slow
@pytest.mark.usefixtures("s3")
def test_s3_without_permission_and_without_network_is_told(monkeypatch):
    from moto import settings
    from s3fs import S3FileSystem

    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from now on it checks who asks
    with pytest.raises(InputError, match=r"s3://bucket/shapes: no permission to read it .*; check the credentials"):
        open_source(Path("s3://bucket/shapes"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    with pytest.raises(InputError, match=r"s3://bucket/shapes: cannot be read .*; check the address, the network"):
        open_source(Path("s3://bucket/shapes"))
