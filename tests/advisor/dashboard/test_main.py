from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from advisor.dashboard.main import folder_of, is_loopback

APP = Path(__file__).parents[3] / "app.py"


def test_the_entry_shows_the_front_first(finished, monkeypatch):
    monkeypatch.setattr("sys.argv", ["app.py", str(finished.folder.parents[1])])
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Front"]
    assert app.selectbox[0].value == "demo"
    app.run()
    assert [title.value for title in app.title] == ["Front"]  # still there when it runs again


def test_the_installed_entry_is_the_same(tmp_path, monkeypatch):
    from advisor.dashboard.launch import ENTRY

    monkeypatch.setattr("sys.argv", ["main.py", str(tmp_path)])
    app = AppTest.from_file(str(ENTRY), default_timeout=60).run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Front"]


def test_the_entry_is_five_lines():
    assert len(APP.read_text("utf-8").splitlines()) == 5


def test_the_folder_is_the_first_argument_or_where_it_was_started():
    assert folder_of(["app.py", "somewhere"]) == Path("somewhere")
    assert folder_of(["app.py"]) == Path()


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104
        (None, False),
        ("192.168.0.2", False),
    ],
)
def test_only_this_machine_is_served(address, loopback):
    assert is_loopback(address) is loopback


def test_a_server_open_to_others_shows_nothing_but_how_to_serve(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["app.py", str(tmp_path)])
    monkeypatch.setattr("streamlit.runtime.exists", lambda: True)
    monkeypatch.setattr("streamlit.get_option", lambda name: "0.0.0.0")  # noqa: S104
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert "served to that machine only" in app.error[0].value
    assert not app.title
