"""The two functions that programs hand to `load_master` and `load_agent`, which touch no disk themselves."""

import os


def read_text(path: str) -> str:
    """A whole file as UTF-8. Raises OSError or UnicodeDecodeError; the loaders say it in a person's words."""
    with open(path, "rb") as file:
        return file.read().decode("utf-8")


def list_yaml(directory: str) -> list[str]:
    """The YAML files of a directory such as `conf.d`, sorted by name; none when there is no such directory."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    return [os.path.join(directory, n) for n in names if n.endswith((".yaml", ".yml")) and not n.startswith(".")]
