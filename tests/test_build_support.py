"""How setup.py decides: options of each compiler, threads, what is compiled again.

Compilers are stand-ins here, so that the decisions for all systems are tested on each. The
tests would catch a build that compiles nothing with Microsoft's compiler, one that insists on
OpenMP where Apple's clang has none, and one that leaves an object from before a change.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("setuptools")
pytest.importorskip("Cython")
if not (ROOT / "build_support").is_dir():
    pytest.skip("needs the checkout or the sdist", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _checkout_first():
    """The package is not installed; setup.py finds it in the checkout."""
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


UNIX = SimpleNamespace(compiler_type="unix")
MINGW = SimpleNamespace(compiler_type="mingw32")
MSVC = SimpleNamespace(compiler_type="msvc")


class TestFlags:
    def test_compilers_are_told_apart(self):
        from build_support.flags import dialect_of

        assert dialect_of(UNIX, {"CC": "clang-cl"}) == "gnu"
        assert dialect_of(MINGW, {}) == "gnu"
        assert dialect_of(MSVC, {}) == "msvc"
        assert dialect_of(MSVC, {"CC": "gcc"}) == "msvc"
        assert dialect_of(MSVC, {"CC": r"C:\LLVM\bin\clang-cl.exe"}) == "clang-cl"

    @pytest.mark.parametrize("source", ["src_c/model.c", "build/x/pygru/core/_weights.c"])
    def test_each_compiler_gets_its_own_options(self, source):
        from build_support.flags import flags_of

        for strict in (False, True):
            assert all(flag[0] == "-" for flag in flags_of(source, "gnu", strict))
            assert all(flag[0] == "/" for flag in flags_of(source, "msvc", strict))
            assert "/std:c11" in flags_of(source, "msvc", strict)
            assert "-std=c11" in flags_of(source, "gnu", strict)

    def test_warnings_are_errors_in_the_core_alone(self):
        from build_support.flags import flags_of

        for dialect, word in {"gnu": "-Werror", "msvc": "/WX", "clang-cl": "/WX"}.items():
            assert word in flags_of("src_c/kernels/avx2.c", dialect, strict=True)
            assert word not in flags_of("src_c/kernels/avx2.c", dialect)
            assert word not in flags_of("b/pygru/core/_core.c", dialect, strict=True)

    def test_the_last_level_of_optimisation_decides(self):
        from build_support.flags import flags_of

        def level(source):
            return [flag for flag in flags_of(source, "gnu") if flag.startswith("-O")][-1]

        assert level("src_c/core_f32.c") == level("src_c/kernels/avx512.c") == "-O3"
        assert level("b/_weights.c") == level("b/_core.c") == "-O2"
        assert level("b/_uninterrupted.c") == "-Os"

    @pytest.mark.parametrize(
        ("name", "pattern"),
        [
            ("tests/core/run.sh", r'^flags="(.*?)"'),
            ("tests/instruction_counts.py", r"^FLAGS = \[(.*?)\]"),
            ("tests/test_examples.py", r"^FLAGS = \[(.*?)\]"),
            ("examples/cython/setup.py", r"^FLAGS = \[(.*?)\]"),
        ],
    )
    def test_the_arithmetic_is_the_same_wherever_the_core_is_compiled(self, name, pattern):
        from build_support.flags import COMMON

        def arithmetic(flags):
            return {flag for flag in flags if flag.startswith("-f")} - {"-fvisibility=hidden"}

        product = arithmetic(COMMON["gnu"])
        assert "-ffp-contract=off" in product
        assert (
            arithmetic(flag.removeprefix("/clang:") for flag in COMMON["clang-cl"]) == product
        )
        text = (ROOT / name).read_text()
        found = re.search(pattern, text, re.MULTILINE | re.DOTALL)[1]
        assert arithmetic(re.findall(r"[^\s\"',]+", found)) == product

    def test_sanitizers(self):
        from build_support.flags import sanitizer_flags

        assert sanitizer_flags(None, "msvc") == ([], [])
        assert sanitizer_flags("thread", "gnu")[1] == ["-fsanitize=thread"]
        with pytest.raises(SystemExit, match="needs gcc or clang"):
            sanitizer_flags("address", "msvc")


def in_another_way(text):
    """The literals of a text that are the name of a variable, and not asked for by a function.

    In a message, and among the compiler's options, a name is a part of a literal.
    """
    return re.findall(r"""(?<!\bsetting\()(?<!\bchoice\()["']PYGRU_\w*["']""", text)


class TestEnvironment:
    def test_what_is_empty_is_not_set(self):
        from build_support.environment import choice, given, prepare, setting

        variables = {"CC": "", "CFLAGS": "  ", "LDFLAGS": " -L/a ", "PATH": "", "AR": "ar"}
        assert given(["CC", "LDFLAGS", "CPPFLAGS"], variables) == "LDFLAGS='-L/a'"
        assert setting("CFLAGS", variables) is None
        assert choice("CC", ("a", "b"), variables) is None
        prepare(variables)
        assert variables == {"LDFLAGS": " -L/a ", "PATH": "", "AR": "ar"}

    def test_a_wrong_value_is_named(self):
        from build_support.environment import choice

        assert choice("PYGRU_WERROR", ("0", "1"), {"PYGRU_WERROR": "1"}) == "1"
        with pytest.raises(SystemExit, match="pygru: PYGRU_WERROR must be 0 or 1, got 'yes'"):
            choice("PYGRU_WERROR", ("0", "1"), {"PYGRU_WERROR": "yes"})

    @pytest.mark.skipif(os.name != "posix", reason="a path of Windows has backslashes")
    def test_a_quote_without_its_end(self):
        from build_support.environment import prepare

        with pytest.raises(SystemExit, match="""CC='gcc "' cannot be read: No closing"""):
            prepare({"CC": 'gcc "'})

    def test_no_file_reads_variables_in_another_way(self):
        """So none is read without these rules: the names are arguments, or in sentences."""
        for path in (ROOT / "build_support").glob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not in_another_way(text), path
        for text in (
            'if "PYGRU_OPENMP" in environment:',
            "os.getenv('PYGRU_WERROR')",
            'environment["PYGRU_THREADS"]',
            'NAME = "PYGRU_THREADS"',
        ):
            assert in_another_way(text), text


class TestThreads:
    """P-06, P-10: a trial program decides; openmp insists, pool and none do without."""

    @staticmethod
    def never(*_):
        raise AssertionError("must not be tried")

    def test_nothing_said(self):
        from build_support.threads import thread_flags

        def works(*_):
            return True

        def fails(*_):
            return False

        assert thread_flags(None, "gnu", works, "linux") == (["-fopenmp"], ["-fopenmp"])
        assert thread_flags(None, "gnu", fails, "linux") == ([], ["-pthread"])
        assert thread_flags(None, "gnu", fails, "darwin") == ([], [])
        assert thread_flags(None, "msvc", works, "win32") == (["/openmp"], [])

    def test_apple_clang_with_a_library_that_was_installed(self):
        from build_support.threads import thread_flags

        found = thread_flags("openmp", "gnu", lambda c, l: "-Xpreprocessor" in c, "darwin")
        assert found == (["-Xpreprocessor", "-fopenmp"], ["-lomp"])

    def test_the_pool_and_none_do_not_even_try(self):
        from build_support.threads import thread_flags

        assert thread_flags("pool", "gnu", self.never, "linux") == ([], ["-pthread"])
        assert thread_flags("none", "gnu", self.never, "linux") == (["-DPYGRU_NO_POOL"], [])
        assert thread_flags("none", "msvc", self.never, "win32") == (["/DPYGRU_NO_POOL"], [])

    @pytest.mark.parametrize("platform", ["linux", "darwin"])
    def test_insisting_fails_in_one_line(self, platform):
        from build_support.threads import thread_flags

        with pytest.raises(SystemExit, match="PYGRU_THREADS=openmp, but this compiler cannot"):
            thread_flags("openmp", "gnu", lambda *_: False, platform)

    def test_values_and_the_old_name(self):
        from build_support.threads import wanted_threads

        assert wanted_threads({}) is None
        assert wanted_threads({"PYGRU_THREADS": "none"}) == "none"
        with pytest.raises(SystemExit, match="must be openmp, pool or none, got '4'"):
            wanted_threads({"PYGRU_THREADS": "4"})
        with pytest.raises(SystemExit, match="PYGRU_OPENMP is not read any more"):
            wanted_threads({"PYGRU_OPENMP": "1"})
        assert wanted_threads({"PYGRU_THREADS": "", "PYGRU_OPENMP": " "}) is None


class Recorder:
    """A compiler that writes what it was asked, and can fail."""

    compiler_type = "unix"
    compiler_so: list[str] = [sys.executable]  # noqa: RUF012
    makes_objects = True
    error_of_linker = None

    def __init__(self, error=None, program="exit 0"):
        self.error, self.program, self.linked = error, program, None

    def compile(self, sources, output_dir, extra_postargs=()):
        if self.error:
            raise self.error
        made = Path(output_dir, "probe.o")
        if self.makes_objects:
            made.touch()
        return [str(made)]

    def link_shared_object(self, objects, module, extra_postargs):
        if self.error_of_linker:
            raise self.error_of_linker
        Path(module).touch()

    def link_executable(self, objects, program, extra_postargs):
        self.linked = extra_postargs
        Path(program).write_text(f"#!/bin/sh\n{self.program}\n")
        os.chmod(program, 0o755)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in makes a shell script")
class TestProbes:
    def test_the_linker_gets_ldflags(self):
        from build_support.compilers import openmp_works

        compiler = Recorder()
        environment = {"LDFLAGS": "-L/opt/omp '-Wl,-rpath,/a b'"}
        assert openmp_works(compiler, ["-fopenmp"], ["-fopenmp"], environment)
        assert compiler.linked == ["-L/opt/omp", "-Wl,-rpath,/a b", "-fopenmp"]

    def test_it_is_not_fooled(self):
        from build_support.compilers import openmp_works

        assert not openmp_works(Recorder(RuntimeError("no omp.h")), [], [], {})
        assert not openmp_works(Recorder(program="exit 1"), [], [], {})

    def test_a_program_for_another_machine(self, monkeypatch):
        from build_support import compilers

        def cannot_run(*_, **__):
            raise OSError(8, "Exec format error")

        monkeypatch.setattr(compilers.subprocess, "run", cannot_run)
        assert compilers.openmp_works(Recorder(), [], [], {})

    def test_no_compiler_is_said_in_one_line(self):
        from build_support.compilers import require_compiler

        with pytest.raises(
            SystemExit, match=r"found: .* does not exist; .* install a wheel"
        ) as e:
            require_compiler(Recorder(), {}, which=lambda _: None)
        assert "\n" not in str(e.value)
        require_compiler(Recorder(), {}, which=lambda name: name)
        expected = "found: CC='/etc/passwd' is no program that can be run; expected the command"
        with pytest.raises(SystemExit, match=expected):
            require_compiler(Recorder(), {"CC": "/etc/passwd"}, which=lambda _: None)

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (RuntimeError("no\n as"), "no as"),
            # What setuptools raises has the error of the process in it.
            (
                RuntimeError(subprocess.CalledProcessError(1, ["cc", "-c"])),
                "'cc' has ended with",
            ),
        ],
    )
    @pytest.mark.parametrize("variables", [{}, {"CC": "cc"}, {"CC": "cc", "LDFLAGS": "-lx"}])
    def test_a_compiler_that_does_not_work(self, error, why, variables):
        from build_support.compilers import require_compiler

        linker = Recorder()
        linker.error_of_linker = error
        said = ", ".join(f"{name}='{value}'" for name, value in variables.items())
        expected = f"with {said}: {why}.* expected the command" if said else f"work: {why}"
        for compiler in (Recorder(error), linker):
            with pytest.raises(SystemExit, match=expected) as found:
                require_compiler(compiler, variables | {"CFLAGS": ""}, which=lambda name: name)
            assert "\n" not in str(found.value)

    def test_a_program_that_is_no_compiler(self):
        """Such as /bin/true: it does what it was asked, and makes nothing."""
        from build_support.compilers import require_compiler

        compiler = Recorder()
        compiler.makes_objects = False
        with pytest.raises(
            SystemExit, match="'/bin/true': it has made no object file; expected"
        ):
            require_compiler(compiler, {"CC": "/bin/true"}, which=lambda name: name)

    def test_sanitizers_that_the_compiler_does_not_have(self):
        from build_support.compilers import require_sanitizers

        require_sanitizers(Recorder(), "thread", ["-fsanitize=thread"], [])
        with pytest.raises(SystemExit, match=r"PYGRU_SANITIZE='x' .* expected what .* thread"):
            require_sanitizers(Recorder(RuntimeError("unknown")), "x", ["-fsanitize=x"], [])

    def test_windows_without_a_compiler(self):
        from build_support.compilers import require_compiler

        class Missing(Recorder):
            compiler_type = "msvc"
            compiler_so = None

        with pytest.raises(SystemExit, match="no C compiler found: Microsoft Visual C"):
            require_compiler(Missing(RuntimeError("Microsoft Visual C++ is required")))


class TestWhatIsCompiledAgain:
    def test_rules_of_make(self):
        from build_support.objects import dependencies

        rule = "build/a.o: src_c/a.c \\\n  src_c/a\\ b.h \\\n /usr/$$x.h\n"
        assert dependencies(rule) == ["src_c/a.c", "src_c/a b.h", "/usr/$x.h"]

    def test_an_object(self, tmp_path):
        from build_support.objects import is_current

        names = ["a.c", "a.h", "a.o", "a.o.d", "a.o.made"]
        files = [tmp_path / name for name in names]
        for age, file in enumerate(files):
            file.write_text("cc")
            os.utime(file, (age, age))
        files[3].write_text(f"a.o: {files[0]} {files[1]}\n")
        target = str(files[2])
        assert is_current(target, "cc")
        assert not is_current(target, "cc -g")
        os.utime(files[1], (5, 5))
        assert not is_current(target, "cc")
        os.utime(files[1], (1, 1))
        assert is_current(target, "cc")
        os.utime(files[1], (2, 2))  # the clock of a file system is coarse
        assert not is_current(target, "cc")
        files[1].unlink()
        assert not is_current(target, "cc")

    def test_a_source_that_is_saved_while_it_is_compiled(self, tmp_path):
        from build_support.objects import ObjectCompiler

        source, target = tmp_path / "a.c", tmp_path / "a.o"
        saved = [source.write_text]

        class Compiler(Recorder):
            def _setup_compile(self, *_):
                return [], [str(target)], [], [], {str(target): (str(source), ".c")}

            def _get_cc_args(self, *_):
                return []

            def _compile(self, name, *_):
                for save in saved:
                    save("int a;")
                target.write_text("")
                later = source.stat().st_mtime_ns + 10**9  # the compiler takes a second more
                os.utime(target, ns=(later, later))
                Path(f"{name}.d").write_text(f"a.o: {source}\n")

        objects = ObjectCompiler(Compiler(), lambda _: [])
        assert objects.compile([str(source)]) == [str(target)]
        assert len(objects.jobs([str(source)])[1]) == 1
        saved.clear()
        os.utime(source, (1, 1))
        objects.compile([str(source)])
        assert objects.jobs([str(source)])[1] == []

    def test_another_link_command(self, tmp_path):
        """The module is removed then, or setuptools would find it newer than its objects."""
        from setuptools import Extension

        from build_support.commands import BuildExt
        from build_support.objects import ObjectCompiler

        compiler = Recorder()
        objects = ObjectCompiler(compiler, lambda _: [])
        objects.jobs = lambda *_, **__: (["a.o"], [])
        module, command = tmp_path / "m.so", tmp_path / "m.link"

        def links(*linker, **options):
            compiler.linker_so = [*linker]
            extension = Extension("m", ["a.c"], **options)
            build = SimpleNamespace(
                compiler=compiler,
                extensions=[extension],
                build_temp=tmp_path,
                debug=False,
                get_ext_fullpath=lambda name: str(tmp_path / f"{name}.so"),
            )
            BuildExt.compile_changed(build, objects)
            assert extension.depends == ["a.o"]
            needed = not module.exists()
            module.write_text("")
            os.utime(command, (1, 1))
            return needed

        assert links("cc", "-shared")
        assert not links("cc", "-shared")
        assert links("cc", "-shared", "-L/opt")
        assert not links("cc", "-shared", "-L/opt")
        assert links("cc", "-shared", "-L/opt", extra_link_args=["-fopenmp"])


@pytest.mark.slow
def test_pip_without_a_compiler(tmp_path):
    """One line says what is missing, before anything else is done."""
    pytest.importorskip("wheel")
    pytest.importorskip("numpy")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["-w", str(tmp_path), "."]
    for name in ("build_support", "pygru", "src_c"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {
        **os.environ,
        "CC": "/nonexistent/cc",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    if "No module named pip" in done.stderr:
        pytest.skip("needs pip")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "no C compiler found: CC='/nonexistent/cc' is no program that can be run" in text
    assert "copying" not in text and "OpenMP" not in text
