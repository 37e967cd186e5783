"""The commands that build the compiled modules, and install them from a checkout."""

import hashlib
import os
import sys
import sysconfig
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

from build_support.compilers import (
    openmp_works,
    require_compiler,
    require_sanitizers,
    use_clang_cl,
)
from build_support.environment import choice, prepare, setting
from build_support.flags import dialect_of, flags_of, sanitizer_flags
from build_support.objects import ObjectCompiler, run_all, write_if_other
from build_support.sources import CORE
from build_support.threads import thread_flags, wanted_threads

# Functions are of the kind that C code makes. Cython's own kind, the default, has more
# attributes and makes each module a fifth larger.
DIRECTIVES = {
    "auto_pickle": False,  # a tenth of the code would serve it; a class asks for it
    "binding": False,
    "embedsignature": True,  # for the check of the stubs
    "embedsignature.format": "clinic",
}


class Build(build):
    """Compiles first: who has no compiler reads that, and not pages of copied files."""

    sub_commands = sorted(build.sub_commands, key=lambda command: command[0] != "build_ext")


class EditableWheel(editable_wheel):
    """Puts the checkout on Python's path, where Cython finds ``pygru/core/cpygru.pxd``.

    setuptools would install a hook of the import instead, because the folder ``src_c`` is not
    where the package of its name would be, and Cython asks no hooks. A checkout needs no such
    package: ``core/sources.py`` looks beside pygru, too. The mode "strict" makes a folder of
    links in which everything is in its place.
    """

    def finalize_options(self):
        if self.mode != "strict":
            packages = self.distribution.packages
            self.distribution.packages = [p for p in packages if "src_c" not in p]
            self.distribution.package_dir = {"": "."}
        super().finalize_options()


class BuildExt(build_ext):
    """Builds only what has changed, in a folder that stays, also for an editable install."""

    def finalize_options(self):
        super().finalize_options()
        # setuptools builds an editable install in a folder that it deletes.
        suffix = sysconfig.get_config_var("EXT_SUFFIX") or ""
        self.build_temp = str(Path("build", "objects" + suffix.replace(".", "-")))

    def run(self):
        prepare()
        super().run()

    def build_extensions(self):
        compiler = self.compiler
        dialect = dialect_of(compiler)
        if dialect == "clang-cl":
            use_clang_cl(compiler, os.environ["CC"])
        wanted = wanted_threads()
        strict = choice("PYGRU_WERROR", ("0", "1")) == "1"
        require_compiler(compiler)
        threads = thread_flags(wanted, dialect, lambda *flags: openmp_works(compiler, *flags))
        sanitizers = setting("PYGRU_SANITIZE")
        sanitize, link = sanitizer_flags(sanitizers, dialect)
        if sanitize:
            require_sanitizers(compiler, sanitizers, sanitize, link)
        if sys.platform == "linux" and not sanitize:
            link = ["-Wl,--strip-all"]  # a tenth of a module is local names
        for extension in self.extensions:
            extension.extra_compile_args += [*threads.compile, *sanitize]
            extension.extra_link_args += [*threads.link, *link]
        self.translate()

        def flags(source):
            return flags_of(source, dialect, strict)

        if dialect == "gnu":
            self.compile_changed(ObjectCompiler(compiler, flags))
        else:
            self.add_flags_of_modules(dialect)
            if strict:  # these compilers get the options of a whole module, see below
                self.compiler.compile(
                    [f"src_c/{name}" for name in CORE],
                    output_dir=str(Path(self.build_temp, "strict")),
                    extra_postargs=[*flags("src_c/model.c"), *threads.compile],
                )
        super().build_extensions()

    def translate(self):
        """Let Cython write the C code of the modules that have changed."""
        told = repr((Cython.__version__, sorted(DIRECTIVES.items())))
        key = hashlib.sha256(told.encode()).hexdigest()[:8]  # others need other files
        found = cythonize(
            self.extensions,
            build_dir=str(Path(self.build_temp, f"cython-{key}")),
            compiler_directives=DIRECTIVES,
            nthreads=(os.cpu_count() or 1) if sys.platform == "linux" else 0,
            quiet=True,
        )
        sources = {extension.name: extension.sources for extension in found}
        for extension in self.extensions:
            extension.sources = sources[extension.name]

    def compile_changed(self, objects):
        """Compile what has changed in any module, so that only linking is left to do."""
        self.compiler.compile = objects.compile
        all_jobs = []
        for extension in self.extensions:
            names, jobs = objects.jobs(
                extension.sources,
                output_dir=self.build_temp,
                macros=extension.define_macros,
                include_dirs=extension.include_dirs,
                debug=self.debug,
                extra_postargs=extension.extra_compile_args,
            )
            extension.depends = [*extension.depends, *names]  # a new object is linked again
            # So are all after another command. setuptools links only if the module is missing,
            # or older than an object.
            command = Path(self.build_temp, f"{extension.name}.link")
            write_if_other(command, objects.link_command(extension, names))
            module = Path(self.get_ext_fullpath(extension.name))
            if module.exists() and module.stat().st_mtime_ns <= command.stat().st_mtime_ns:
                module.unlink()
            all_jobs += jobs
        run_all(all_jobs)

    def add_flags_of_modules(self, dialect):
        """Give setuptools the options of a whole module; it knows none of a single file."""
        for extension in self.extensions:
            is_core = len(extension.sources) > 1  # the core decides for the module with it
            source = "src_c/model.c" if is_core else extension.sources[0]
            extension.extra_compile_args += flags_of(source, dialect)
