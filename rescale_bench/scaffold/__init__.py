"""Write the project of a new plugin: a package that pip installs, with a working method to start from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import rescale_bench
from rescale_bench.api.registry import GROUP, KINDS, Registry
from rescale_bench.errors import UsageError
from rescale_bench.machine.writing import reason

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40

FILES: Mapping[str, str] = {
    "pyproject.toml": "pyproject.toml.j2",
    "README.md": "README.md.j2",
    ".gitignore": "gitignore.j2",
    "src/{module}/__init__.py": "plugin.py.j2",
    "src/{module}/rescaler.py": "rescaler.py.j2",
    "tests/test_{module}.py": "test_plugin.py.j2",
}
"""What a project is made of, and the template of each file."""

PROGRAM_FILES: Mapping[str, str] = {"{name}.yaml": "program.yaml.j2", "resize.py": "program.py.j2"}
"""The same of a program as a method."""


@dataclass(frozen=True)
class Project:
    """The names of a new plugin. name: of the method and entry point. title: of the class."""

    name: str

    @property
    def distribution(self) -> str:
        """Name the package that pip installs."""
        return f"rescale-bench-{self.name}"

    @property
    def module(self) -> str:
        """Name the module that Python imports."""
        return self.distribution.replace("-", "_")

    @property
    def title(self) -> str:
        """Name the class."""
        return "".join(part.capitalize() for part in self.name.split("-")) + "Rescaler"


def new_plugin(name: str, registry: Registry, folder: Path | None = None) -> list[Path]:
    """Write a project and return its files.

    folder: where to (default: rescale-bench-NAME here). Raises UsageError for a name that cannot be a method's,
    a package's and a module's at once or that is taken, and where the folder exists or cannot be written.
    """
    project = Project(check_name(name, registry))
    target = Path(project.distribution) if folder is None else folder
    return _written(target, rendered(project))


def new_program(name: str, registry: Registry, folder: Path | None = None) -> list[Path]:
    """Write a program as a method, a YAML file and what it names, and return its files.

    folder: where to (default: NAME here). Raises UsageError as new_plugin does.
    """
    project = Project(check_name(name, registry))
    return _written(Path(name) if folder is None else folder, rendered(project, PROGRAM_FILES))


def check_name(name: str, registry: Registry) -> str:
    """Return a name that a new plugin can have. Raises UsageError."""
    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise UsageError(
            f"'{name}' cannot be a name: small letters, digits and single hyphens, a letter first, "
            f"at most {LONGEST} characters, no word of Python (my-method)",
            "name",
        )
    for kind in KINDS:
        if kind != "method_rules" and name in getattr(registry, kind):
            raise UsageError(f"'{name}' is taken: {kind} of plugin {registry.origin(kind, name)}", "name")
    for rule in registry.rules:
        ending = rule.form.removeprefix("NAME")
        if ending != rule.form and name.endswith(ending):
            raise UsageError(f"'{name}' would be read as {rule.form}; choose another ending", "name")
    if name in {entry.name for entry in importlib.metadata.entry_points(group=GROUP)}:
        raise UsageError(f"a plugin called '{name}' is installed already", "name")
    module = Project(name).module
    if importlib.util.find_spec(module) is not None:
        raise UsageError(f"a module called {module} is installed already", "name")
    return name


def rendered(project: Project, files: Mapping[str, str] = FILES) -> dict[str, str]:
    """Fill in the templates: text by path relative to the project's folder."""
    import jinja2

    folder = resources.files("rescale_bench.scaffold") / "templates"
    settings = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    values = {"project": project, "wanted": compatible(rescale_bench.__version__)}
    return {
        path.format(module=project.module, name=project.name): settings.from_string(
            folder.joinpath(template).read_text(encoding="utf-8")
        ).render(values)
        for path, template in files.items()
    }


def compatible(version: str) -> str:
    """Write the range of versions whose public interface is that of one version (docs/api.md): 0.3.1 → >=0.3,<0.4."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"


def _written(target: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write all files to a new folder. Raises UsageError where it exists or cannot be written."""
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; give another folder", "output")
    try:
        return _written_together(target, texts)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {reason(error)}") from None


def _written_together(target: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write all files beside the target and move them there together: there is never half a project."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        scratch.chmod(0o755)
        for path, text in texts.items():
            file = scratch / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return [target / path for path in texts]
