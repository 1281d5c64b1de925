import hashlib
import pickle
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from augment.errors import FailedError, InputError, MissingError, UsageError
from smallgan.core import weights
from smallgan.core.run_dir import RunDir

PAYLOAD = bytes(range(256)) * 300
NAME = "a-network"


class Server(BaseHTTPRequestHandler):
    """Serves PAYLOAD, from the byte asked for; `cut` ends the first answer early."""

    cut: int | None = None
    starts: list[int]

    def do_GET(self):
        start = int(re.search(r"\d+", self.headers.get("Range", "bytes=0-"))[0])
        type(self).starts.append(start)
        if start >= len(PAYLOAD):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(PAYLOAD) - start))
        self.end_headers()
        end, type(self).cut = type(self).cut or len(PAYLOAD), None
        self.wfile.write(PAYLOAD[start:end])

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    Server.cut, Server.starts = None, []
    http = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/net.pth"
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def use_card(monkeypatch, **fields):
    known = {
        "title": "A network",
        "about": "for tests",
        "file": "net.pth",
        "licence": "none",
        "source": "drawn",
        "url": "http://127.0.0.1:9/net.pth",
        "sha256_prefix": hashlib.sha256(PAYLOAD).hexdigest()[:8],
    }
    card = weights.Card(name=NAME, **{**known, **fields})
    monkeypatch.setattr(weights, "cards", lambda: {NAME: card})
    return card


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_every_card_says_where_it_comes_from_and_how_it_is_recognised():
    for name, card in weights.cards().items():
        assert card.licence, name
        assert card.source, name
        if card.shipped:
            assert re.fullmatch("[0-9a-f]{64}", card.sha256)
        elif card.kind == "generator":
            assert card.sha256 is None, "never held"
            assert card.sha256_prefix is None, "and their publishers give none"
        elif card.made_by:
            assert (card.sha256, card.url) == (None, None), "each machine makes its own"
        elif card.url is None:
            assert re.fullmatch("[0-9a-f]{64}", card.sha256), "nobody publishes it, so the file was held"
        else:
            assert card.sha256_prefix in card.file
            assert card.url.endswith(card.file)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", [name for name, card in weights.cards().items() if card.shipped])
def test_what_ships_is_what_its_card_says(name):
    path, sha256 = weights.find(name)
    assert sha256 == weights.card(name).sha256
    assert path.stat().st_size < 12_000_000
    assert sha256 in (path if name != weights.SHIPPED_GAN else path.parents[1]).with_name("card.md").read_text("utf-8")
    assert {weights.SHIPPED_FEATURES, weights.SHIPPED_GENERATOR, weights.SHIPPED_GAN} <= weights.cards().keys()


def test_a_run_that_ships_is_found_by_its_name():
    folder = weights.run_folder(weights.SHIPPED_GAN)
    assert RunDir(folder).exists()
    assert weights.locate(weights.SHIPPED_GAN).is_relative_to(folder)
    for other in (weights.SHIPPED_GENERATOR, "runs/00003-train"):  # a file of weights; a path
        assert weights.run_folder(other) == Path(other)


def test_fetch_checks_and_records_the_hash(server, cache, monkeypatch):
    use_card(monkeypatch, url=server)
    seen = []
    path = weights.fetch(NAME, lambda done, total: seen.append((done, total)))
    assert path == cache / "net.pth"
    assert path.read_bytes() == PAYLOAD
    assert seen[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert weights.find(NAME) == (path, hashlib.sha256(PAYLOAD).hexdigest())
    assert sorted(each.name for each in cache.iterdir()) == ["net.pth", "net.pth.sha256"]
    weights.fetch(NAME)
    assert Server.starts == [0], "what is there is not fetched again"


def test_fetch_goes_on_where_it_was_cut(server, cache, monkeypatch):
    use_card(monkeypatch, url=server)
    Server.cut = 1000
    with pytest.raises(FailedError, match="run the command again to go on"):
        weights.fetch(NAME)
    assert not (cache / "net.pth").exists()
    assert weights.fetch(NAME).read_bytes() == PAYLOAD
    assert Server.starts == [0, 1000]


def test_fetch_accepts_a_partial_file_that_was_whole(server, cache, monkeypatch):
    use_card(monkeypatch, url=server)
    cache.mkdir(parents=True)
    (cache / "net.pth.part").write_bytes(PAYLOAD)
    assert weights.fetch(NAME).read_bytes() == PAYLOAD


def test_fetch_keeps_nothing_of_another_file(server, cache, monkeypatch):
    use_card(monkeypatch, url=server, sha256_prefix="00000000")
    with pytest.raises(FailedError, match=r"SHA-256 starts with [0-9a-f]{8}, expected 00000000"):
        weights.fetch(NAME)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("cache")
def test_no_connection_is_one_clear_error(monkeypatch):
    use_card(monkeypatch)  # nothing listens on port 9
    with pytest.raises(FailedError, match=r"cannot be downloaded .* smallgan weights import a-network FILE"):
        weights.fetch(NAME)


@pytest.mark.usefixtures("no_network")
def test_absent_weights_say_where_and_how(cache, monkeypatch):
    use_card(monkeypatch)
    with pytest.raises(MissingError) as caught:
        weights.find(NAME)
    assert str(cache / "net.pth") in str(caught.value)
    assert "smallgan weights fetch a-network" in str(caught.value)


@pytest.mark.usefixtures("no_network")
@pytest.mark.usefixtures("cache")
def test_weights_that_changed_since_they_were_fetched_are_an_error(monkeypatch, tmp_path):
    use_card(monkeypatch, sha256_prefix="")
    file = tmp_path / "downloaded.pth"
    file.write_bytes(PAYLOAD)
    path = weights.import_file(NAME, file)
    path.write_bytes(PAYLOAD[:-1])
    with pytest.raises(InputError, match="changed since it was fetched"):
        weights.find(NAME)


def test_import_refuses_another_file(cache, monkeypatch, tmp_path):
    use_card(monkeypatch)
    file = tmp_path / "other.pth"
    file.write_bytes(b"something else")
    with pytest.raises(
        InputError,
        match=r"other\.pth: not the weights a-network: its SHA-256 starts with [0-9a-f]{8}, expected [0-9a-f]{8}; "
        "download it again from http",
    ):
        weights.import_file(NAME, file)
    with pytest.raises(InputError, match="no such file"):
        weights.import_file(NAME, tmp_path / "absent.pth")
    assert not cache.exists()


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'inception-v3-tf2015'"):
        weights.card("inception-v3-tf2016")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("SMALLGAN_CACHE", "/x", "/x/weights"), ("XDG_CACHE_HOME", "/y", "/y/smallgan/weights")],
)
def test_the_cache_can_be_moved(variable, value, expected, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("SMALLGAN_CACHE", raising=False)
    monkeypatch.setenv(variable, value)
    assert weights.cache_folder() == Path(expected)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_with_code_in_it_is_named_and_not_run(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.pth"
    if legacy:
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save({"a": Bomb()}, path)
    with pytest.raises(InputError, match=r"bomb\.pth: not a plain file of tensors"):
        weights.read_tensors(path)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_a_file_cut_short_is_named(tmp_path, ending, kept):
    path = tmp_path / f"cut{ending}"
    tensors = {"a": torch.ones(3000)}
    (save_file if ending == ".safetensors" else torch.save)(tensors, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InputError, match=r"cut\."):
        weights.read_tensors(path)


def test_something_else_than_a_state_dict_is_named(tmp_path):
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds no state dict"):
        weights.read_tensors(path)


def run_command(*args):
    from smallgan.cli import weights as command

    app = typer.Typer()
    app.add_typer(command.app, name="weights")
    return CliRunner().invoke(app, ["weights", *args])


def test_commands(cache, monkeypatch, tmp_path, server):
    use_card(monkeypatch, url=server)
    listed = run_command("list")
    assert listed.exit_code == 0
    assert listed.stdout.splitlines()[1].split() == ["a-network", "not", "here", "features", "none"]
    assert "licence: none" in run_command("list", NAME).stdout
    assert run_command("verify").exit_code == 0
    assert isinstance(run_command("verify", NAME).exception, MissingError)
    fetched = run_command("fetch", NAME)
    assert fetched.stdout.strip() == str(cache / "net.pth")
    assert "a-network: ok, sha256 " in run_command("verify").stdout
    (cache / "net.pth").write_bytes(b"")
    damaged = run_command("verify")
    assert isinstance(damaged.exception, InputError)
    assert "a-network: damaged: not the weights a-network" in damaged.stdout
    file = tmp_path / "downloaded"
    file.write_bytes(PAYLOAD)
    assert run_command("import", NAME, str(file)).exit_code == 0
    assert '"present": true' in run_command("list", "--json").stdout


@pytest.mark.usefixtures("no_network")
def test_what_nobody_publishes_can_be_imported_only(cache, monkeypatch, tmp_path):
    use_card(monkeypatch, url=None, sha256_prefix=None, sha256=hashlib.sha256(PAYLOAD).hexdigest())
    with pytest.raises(UsageError, match=r"no public address.*smallgan weights import a-network FILE"):
        weights.fetch(NAME)
    with pytest.raises(MissingError) as caught:
        weights.find(NAME)
    assert "fetch" not in str(caught.value)
    file = tmp_path / "mine.bin"
    file.write_bytes(PAYLOAD)
    assert weights.import_file(NAME, file) == cache / "net.pth"
    weights.find(NAME)


@pytest.mark.real_data
def test_the_squeezenet_that_we_held_is_accepted(real_data, cache):
    from smallgan.metrics.features.extract import feature_net

    path = weights.import_file("squeezenet1_1-features", real_data / "weights" / "squeezenet1_1_features.safetensors")
    assert path.parent == cache
    net, _ = feature_net("squeezenet1_1-features", torch.device("cpu"))
    assert (net.num_features, net.num_logits) == (512, 0)
