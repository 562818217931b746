"""Take the pictures of the documentation from a running demo: `tools/screenshots.py DIRECTORY [MINUTES]`.

The demo runs for MINUTES (16) before it is looked at, so that the graphs have something to show.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.programs import free_port, running, smokemesh, wait_until_ready

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: File, path of the page, width, height, colour scheme, language.
SHOTS = (
    ("overview.png", "/targets/faults", 1280, 700, "light", "en"),
    ("target.png", "/targets/services/shop?from=now-15m&to=now&agent=frankfurt", 1280, 800, "light", "en"),
    ("overlay.png", "/targets/services/shop?from=now-15m&to=now", 1280, 800, "dark", "en"),
    ("agents.png", "/agents", 1280, 500, "light", "en"),
    ("phone.png", "/targets/access/mobile?from=now-15m&to=now", 390, 844, "dark", "zh"),
)


def main() -> None:
    """Run the demo, look at it, keep the pictures."""
    out, minutes = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 16.0
    out.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with running(smokemesh("demo", "--listen", address, "--day", "8m"), log) as demo:
            wait_until_ready(f"http://{address}/-/ready", check=demo.check)
            time.sleep(60 * minutes)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                for name, path, width, height, scheme, language in SHOTS:
                    _shoot(browser, f"http://{address}{path}", out / name, (width, height), scheme, language)
                browser.close()


def _shoot(browser: Browser, url: str, file: Path, size: tuple[int, int], scheme: str, language: str) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        locale={"en": "en-GB", "zh": "zh-CN"}[language],
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(3000)
    page.screenshot(path=file)
    context.close()
    # Pictures of pages have few colours; a palette halves what a clone must fetch. Without pngquant they stay as they are.
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--skip-if-larger", str(file)], check=False)


if __name__ == "__main__":
    main()
