"""Create an environment like Binder's and run the lessons in it: `make test-binder`.

Binder itself installs conda packages. Here, pip installs the same list, because not every machine
has conda. The lessons must produce the committed outputs, byte for byte.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def run(*command, **how):
    return subprocess.run([str(part) for part in command], check=True, **how)


def copy_of_the_repository(folder):
    """Copy the files that git knows, and no other files of this working directory."""
    listed = run("git", "ls-files", "-z", cwd=ROOT, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def requirements():
    entries = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    texts = [entry for entry in entries if isinstance(entry, str)]
    texts += next(entry["pip"] for entry in entries if isinstance(entry, dict))
    names = [text.replace("matplotlib-base", "matplotlib") for text in texts]
    return [name for name in names if not re.match(r"(python=|pip$)", name)]


def main():
    with tempfile.TemporaryDirectory(prefix="kaizen-binder-") as folder:
        repository, environment = Path(folder, "repository"), Path(folder, "environment")
        copy_of_the_repository(repository)
        print("binder: creating the environment", flush=True)
        run(sys.executable, "-m", "venv", environment)
        path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        variables = os.environ | {"PATH": path, "KAIZEN_STORE_PROGRESS": os.devnull}
        here = {"cwd": repository, "env": variables}
        pip = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        run(*pip, "install", "--quiet", *requirements(), **here)
        packages = json.loads(
            run(*pip, "list", "--format=json", capture_output=True, text=True, **here).stdout
        )
        files = [
            file for file in environment.rglob("*") if file.is_file() and not file.is_symlink()
        ]
        size_mb = sum(file.stat().st_size for file in files) / 1e6
        print(f"binder: {len(packages)} packages, {size_mb:.0f} MB", flush=True)
        run("bash", "binder/postBuild", **here)
        start = time.perf_counter()
        run("python", "scripts/notebooks.py", **here)
        print(f"binder: the lessons took {time.perf_counter() - start:.0f} s", flush=True)
        changed = [
            lesson.name
            for lesson in sorted((ROOT / "notebooks").glob("*.ipynb"))
            if lesson.read_bytes() != (repository / "notebooks" / lesson.name).read_bytes()
        ]
        if changed:
            sys.exit(f"binder: the outputs of these lessons differ: {', '.join(changed)}")


if __name__ == "__main__":
    main()
