"""Build the wheel with the workflow inside the package; everything else is in `pyproject.toml`."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = ("Snakefile", "config", "envs", "profiles", "workflow")


class BuildWithWorkflow(build_py):
    """Copies the workflow's files to `pipeline/workflow_files`; an editable install reads the clone's."""

    def run(self) -> None:
        """Build the package, then add the files."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, "pipeline", "workflow_files")
        for name in WORKFLOW:
            if Path(name).is_dir():
                copytree(name, folder / name, dirs_exist_ok=True)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                self.copy_file(name, str(folder / name))


setup(cmdclass={"build_py": BuildWithWorkflow})
