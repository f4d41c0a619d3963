"""Pages run without a browser: each test gets a new session of the app."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = Path(__file__).resolve().parents[2] / "app.py"


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """`open_page("pages/7_Method.py", pooling="gmp")`: a new session that follows a link to a page."""

    def open_it(page: str = "app.py", **link: str) -> AppTest:
        tested = AppTest.from_file(str(APP), default_timeout=60)
        if page != "app.py":
            tested.switch_page(page)
        tested.query_params.update(link)
        return tested.run()

    return open_it
