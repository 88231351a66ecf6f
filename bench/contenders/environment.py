"""The Python environment of contenders that cannot live in Shoal's."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from bench.common import BenchError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
DIRECTORY = Path("build/contenders")


async def python_of_contenders(console: Console, directory: Path = DIRECTORY) -> str:
    """The interpreter of the environment, which is made when it is not there as required.

    Raises
    ------
    BenchError
        It cannot be made.
    """
    python, made = directory / "bin/python", directory / "made-of.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        console.print(f"making an environment for contenders in {directory}, once", style="dim")
        await _run(sys.executable, "-m", "venv", "--clear", str(directory))
        install = ("install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS))
        await _run(str(python), "-m", "pip", *install)
        made.write_text(wanted, encoding="utf-8")
    return str(python.absolute())


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        words = " | ".join(output.decode(errors="replace").splitlines()[-3:])
        raise BenchError(
            f"{' '.join(command[:4])} failed: {words}. Mend it, or leave quix out with --contenders"
        )
