import signal
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.dashboard import launch as module
from advisor.dashboard.launch import ENTRY, command, launch
from specs.errors import SpecError


def option(words: list[str], name: str) -> str:
    return words[words.index(f"--{name}") + 1]


def test_the_server_is_bound_to_this_machine_and_reports_nothing(tmp_path):
    words = command(tmp_path, 8600, headless=True)
    assert words[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert words[4] == str(ENTRY)
    assert ENTRY.is_file()
    assert option(words, "server.address") == "127.0.0.1"
    assert option(words, "browser.gatherUsageStats") == "false"
    assert option(words, "server.showEmailPrompt") == "false"
    assert option(words, "server.port") == "8600"
    assert option(words, "server.headless") == "true"
    assert words[-2:] == ["--", str(tmp_path)]


def test_without_a_port_the_first_free_one_is_taken(tmp_path):
    words = command(tmp_path, None, headless=False)
    assert "--server.port" not in words
    assert option(words, "server.headless") == "false"


def test_a_relative_folder_is_made_absolute(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert command(Path("here"), None, headless=True)[-1] == str(tmp_path / "here")


def test_a_folder_named_like_an_option_is_an_argument(tmp_path, monkeypatch):
    (tmp_path / "--server.address=0.0.0.0").mkdir()
    monkeypatch.chdir(tmp_path)
    words = command(Path("--server.address=0.0.0.0"), None, headless=True)
    assert words[words.index("--") + 1 :] == [str(tmp_path / "--server.address=0.0.0.0")]


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no such folder"):
        launch(tmp_path / "nowhere", None, headless=True)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    with pytest.raises(SpecError, match="not a port"):
        command(tmp_path, port, headless=True)


class Server:
    """A process that ends as told."""

    def __init__(self, ends: int | type[BaseException]) -> None:
        self.ends, self.terminated = ends, False

    def wait(self) -> int:
        if isinstance(self.ends, int) or self.terminated:
            return 0 if self.terminated else int(self.ends)  # type: ignore[arg-type]
        raise self.ends

    def terminate(self) -> None:
        self.terminated = True


@pytest.mark.parametrize(
    ("ends", "status"), [(0, 0), (1, 5), (-signal.SIGTERM, 0), (-signal.SIGSEGV, 5), (KeyboardInterrupt, 0)]
)
def test_how_the_server_ended_is_the_status(tmp_path, monkeypatch, ends, status):
    server = Server(ends)
    monkeypatch.setattr(module.subprocess, "Popen", lambda words: server)
    before = signal.getsignal(signal.SIGTERM)
    assert launch(tmp_path, None, headless=True) == status
    assert server.terminated is (ends is KeyboardInterrupt)
    assert signal.getsignal(signal.SIGTERM) is before


def test_launching_imports_no_streamlit():
    code = "import sys, advisor.dashboard, advisor.dashboard.launch; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
