"""Compiles the C files that have changed, several at a time.

setuptools compiles every file of a module again if any file that the module may depend on is
newer. Here gcc and clang write down which files each object was made from, and an object is
made again if one of them is newer, or if the command is another one. So a change of one file
costs seconds. An object has the time at which its compiler started, so that a file which is
saved meanwhile is newer. Microsoft's compiler writes no such lists, and setuptools uses it in
its own way.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def dependencies(text):
    """Return the files in a rule for make, as compilers write it: "object: file file ..."."""
    files = text.replace("\\\n", " ").partition(": ")[2]
    marked = files.replace("\\ ", "\0")  # a space within a name
    return [name.replace("\0", " ").replace("$$", "$") for name in marked.split()]


def is_current(target, command):
    """Return whether an object was made by this command from files that have not changed."""
    made, rule = Path(f"{target}.made"), Path(f"{target}.d")
    try:
        if made.read_text() != command:
            return False
        time = os.stat(target).st_mtime_ns
        return all(os.stat(name).st_mtime_ns < time for name in dependencies(rule.read_text()))
    except OSError:  # a file is missing
        return False


def write_if_other(path, text):
    """Write a file unless it has this text, so that its time is that of the last change."""
    path = Path(path)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def version_of(command):
    """Return what a compiler says about itself: another version makes other objects."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0]


class ObjectCompiler:
    """Replaces the method ``compile`` of setuptools' compiler object for gcc and clang.

    ``flags_of`` returns what a source needs beside the options of its module.
    """

    def __init__(self, compiler, flags_of):
        self.compiler = compiler
        self.flags_of = flags_of
        words = [word for word in compiler.compiler_so if not word.startswith("-")]
        self.version = version_of(words)

    def jobs(
        self,
        sources,
        output_dir=None,
        macros=None,
        include_dirs=None,
        debug=False,
        extra_preargs=None,
        extra_postargs=None,
        depends=None,
    ):
        """Return the names of the objects, and a function for each that has to be made."""
        compiler = self.compiler
        macros, objects, extra_postargs, pp_opts, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        cc_args = compiler._get_cc_args(pp_opts, debug, extra_preargs)
        jobs = []
        for name, (source, extension) in build.items():
            flags = [*self.flags_of(source), *extra_postargs]
            words = [self.version, *compiler.compiler_so, *cc_args, source, *flags]
            command = "\n".join(words)
            if not is_current(name, command):
                jobs.append(
                    self._job(name, command, source, extension, cc_args, flags, pp_opts)
                )
        return objects, jobs

    def _job(self, name, command, source, extension, cc_args, flags, pp_opts):
        def compile_one():
            made = Path(f"{name}.made")
            made.write_text("")  # no command has made the object until the end
            began = made.stat().st_mtime_ns  # by the clock of the file system
            listing = ["-MD", "-MF", f"{name}.d"]
            self.compiler._compile(
                name, source, extension, cc_args, [*flags, *listing], pp_opts
            )
            os.utime(name, ns=(began, began))
            made.write_text(command)

        return compile_one

    def link_command(self, extension, objects):
        """Return what decides how a module is linked, as a text."""
        return "\n".join(
            [
                self.version,
                *self.compiler.linker_so,  # with LDFLAGS
                *objects,
                *extension.library_dirs,
                *extension.libraries,
                *extension.extra_link_args,
            ]
        )

    def compile(self, *arguments, **options):
        """Make what has to be made, and return the names of the objects."""
        objects, jobs = self.jobs(*arguments, **options)
        run_all(jobs)
        return objects


def run_all(jobs):
    """Run functions on all processors; the first failure is raised."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda job: job(), jobs))
