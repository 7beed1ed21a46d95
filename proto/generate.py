"""Stub generation: proto/heimdex/**/*.proto -> gen/heimdex/**/*_pb2{,_grpc}.{py,pyi}.

Run as ``python proto/generate.py`` to rewrite ``gen/``, or with ``--check`` to compare only.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (ROOT / "proto", ROOT / "third_party")
STUBS = Path("gen") / "heimdex"


def generate(out: Path) -> None:
    """Write the stubs of every proto under ``proto/heimdex`` below ``out``.

    Args:
        out: an existing folder; files land in ``out/heimdex/...``.

    Raises:
        CalledProcessError: protoc refused a file; it has said why on stderr.
    """
    protos = sorted(path.relative_to(SOURCES[0]).as_posix() for path in (SOURCES[0] / "heimdex").rglob("*.proto"))
    plugins = Path(sysconfig.get_path("scripts"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            *(f"-I{source}" for source in SOURCES),
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet:{out}",
            *protos,
        ],
        check=True,
    )
    for package in sorted({(out / proto).parent for proto in protos}):
        (package / "py.typed").touch()  # namespace packages are marked where their modules are
    for stub in out.rglob("*_pb2_grpc.py"):
        if "Servicer" not in stub.read_text(encoding="utf-8"):  # messages only: an empty gRPC module
            stub.unlink()
            stub.with_suffix(".pyi").unlink(missing_ok=True)


def differences(committed: Path, fresh: Path) -> list[str]:
    """Return the files that are missing, left over or different, in order of path; empty when both trees agree."""
    names = {
        path.relative_to(tree).as_posix()
        for tree in (committed, fresh)
        for path in tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        name
        for name in names
        if not (committed / name).is_file()
        or not (fresh / name).is_file()
        or not filecmp.cmp(committed / name, fresh / name, shallow=False)
    )


def main() -> int:
    """Rewrite or check the committed stubs; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the committed stubs differ")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = Path(scratch) / "heimdex"
        changed = differences(ROOT / STUBS, fresh)
        if check:
            for name in changed:
                print(f"{STUBS / name}: differs from its proto; run `make gen` and commit", file=sys.stderr)
            return 1 if changed else 0
        for name in changed:
            target = ROOT / STUBS / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (fresh / name).is_file():
                shutil.copyfile(fresh / name, target)
            else:
                target.unlink()
        print(f"{STUBS}: {len(changed)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
