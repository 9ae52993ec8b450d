"""The course holds its recipe: what must stand in every notebook, and in what state it is stored.

A rule is a function from a notebook to sentences, one for each fault that it finds. Each notebook is held to each rule;
and each rule is held to a made-up notebook: the sound one, and copies of it with one fault in them.
"""

import ast
import copy
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from xlsr_ref.teach.grade.catalogue import all_exercises

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"


def script():
    """notebooks/execute.py, which is no package."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXECUTE = script()

ORDER = [  # of reading
    "00_the_whole_pipeline",
    "01_sound",
    "01b_speech_for_people_who_know_numpy",
    "02_feature_encoder",
    "03_gelu_and_layer_norm",
    "04_positional_convolution",
    "04b_gradients_in_ten_minutes",
    "05_attention",
    "06_the_block",
    "07_quantizer",
    "08_contrastive_learning",
    "09_ctc",
    "09b_ctc_beside_the_others",
    "10_decoding",
    "10b_evaluation",
    "11_backpropagation",
    "12_training_from_nothing",
    "13_what_is_in_a_checkpoint",
    "14_speed",
    "15_many_languages",
    "16_eight_bits",
    "17_from_xlsr_to_wav2vec2_bert",
    "18_does_pretraining_help",
]

TAGS = {  # each with its kind of cell, and how often it stands in a notebook at least
    "question": ("markdown", 2),  # one for each step
    "ribbon": ("code", 1),
    "equation": ("markdown", 1),
    "by-hand": ("code", 1),
    "source": ("code", 1),
    "real-speech": ("code", 1),
    "check": ("code", 1),
    "break-it": ("code", 1),
    "exercise": ("markdown", 2),
    "answer": ("code", 2),  # the reader's: empty
    "picture": ("code", 1),
    "sound": ("code", 0),  # plays one
    "graded": ("markdown", 0),  # which exercises of the grader belong here
    "task": ("code", 0),  # prints their tasks
    "write": ("code", 0),  # the reader's again, with the call that grades
}
MEGABYTES = 1.8
PLAYER_BYTES = 60_000
WORDS = 130  # in a cell of text, without code and equations
LINES = 15  # of a function that is defined in a notebook: longer is library code
PACKAGES = {"numpy", "scipy", "xlsr_ref"}  # besides the standard library
STUB = re.compile(r"\b(TODO|FIXME|XXX)\b|your (code|answer) here|NotImplemented", re.IGNORECASE)
PLACE = re.compile(r"§|\beqs?\. |Appendix|Algorithm")


def load(path):
    """A notebook as its rules see it, with its solutions and the names of the exercises that point to it."""
    content = path.read_text(encoding="utf-8")
    raw = json.loads(content)
    file = EXECUTE.solutions_of(path)
    solutions = file.read_text(encoding="utf-8") if file.exists() else ""
    printed = {int(number): text.splitlines() for number, _, text in EXECUTE.SOLUTION.findall(solutions)}
    return SimpleNamespace(
        name=path.stem,
        folder=path.parent,
        size=len(content.encode()),
        raw=raw,
        order=ORDER,
        solutions=solutions,
        printed=lambda number: printed.get(number, []),
        exercises=[each.name for each in all_exercises() if each.notebook == EXECUTE.number(path.stem)],
        all_exercises={each.name for each in all_exercises()},
    )


def cells(notebook, kind=None, tag=None):
    """(index, cell) of one kind and with one tag."""
    for i, cell in enumerate(notebook.raw["cells"]):
        if kind in (None, cell["cell_type"]) and (tag is None or tag in tags(cell)):
            yield i, cell


def tags(cell):
    return cell["metadata"].get("tags", [])


def source(cell):
    return "".join(cell["source"])


def outputs(notebook):
    for i, cell in cells(notebook, "code"):
        for output in cell["outputs"]:
            yield i, cell, output


def pictures(output):
    return [kind for kind in output.get("data", {}) if kind.startswith("image/")]


def texts(output):
    """Every text in an output, a picture's SVG included."""
    if output["output_type"] == "stream":
        yield "".join(output["text"])
    for kind, data in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield "".join(data)


def syntax(notebook):
    """(index, cell, tree) of every code cell that is plain Python."""
    for i, cell in cells(notebook, "code"):
        try:
            yield i, cell, ast.parse(source(cell))
        except SyntaxError:
            continue  # `plain_python` finds it


def calls(tree):
    """What is called in a cell, as it is written: check.close, np.zeros."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def links(text):
    """(words, target) of each link and picture of a Markdown text."""
    return re.findall(r"!?\[([^\]]*)\]\(([^)\s]+)[^)]*\)", text)


# --- the rules -------------------------------------------------------------------------------------------------------


def tags_are_known_and_counted(notebook):
    for i, cell in cells(notebook):
        for tag in tags(cell):
            if tag not in TAGS:
                yield f"cell {i}: the recipe has no tag {tag!r}"
            elif TAGS[tag][0] != cell["cell_type"]:
                yield f"cell {i}: {tag!r} belongs to a {TAGS[tag][0]} cell"
    for tag, (kind, least) in TAGS.items():
        found = len(list(cells(notebook, kind, tag)))
        if found < least:
            yield f"{found} cells are tagged {tag!r}, of at least {least}"


def checks_assert(notebook):
    for i, cell, tree in syntax(notebook):
        asserting = "check.close" in calls(tree) or any(isinstance(node, ast.Assert) for node in ast.walk(tree))
        if "check" in tags(cell) and not asserting:
            yield f"cell {i} is tagged 'check' and asserts nothing"
        if "check" in tags(cell) and not any(output["output_type"] == "stream" for output in cell["outputs"]):
            yield f"cell {i} is tagged 'check' and prints no error beside what was expected"


def break_its_fail(notebook):
    for i, cell, tree in syntax(notebook):
        if "break-it" in tags(cell) and "check.fails" not in calls(tree):
            yield f"cell {i} is tagged 'break-it' without check.fails()"
        if "break-it" in tags(cell) and not any("failed, as it must" in text for text in printed(cell)):
            yield f"cell {i} is tagged 'break-it' and its output shows no failure"


def printed(cell):
    return ("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def ribbons_and_sources_are_shown(notebook):
    wanted = {"ribbon": {"show.ribbon"}, "source": {"show.source", "inspect.getsource"}}
    for i, cell, tree in syntax(notebook):
        for tag, functions in wanted.items():
            if tag in tags(cell) and not functions & calls(tree):
                yield f"cell {i} is tagged {tag!r} without {' or '.join(sorted(functions))}"


def exercises_have_an_empty_answer(notebook):
    all_cells = notebook.raw["cells"]
    for number, (i, cell) in enumerate(cells(notebook, "markdown", "exercise"), start=1):
        if i + 1 == len(all_cells) or "answer" not in tags(all_cells[i + 1]):
            yield f"cell {i}: no cell for the reader's answer follows this exercise"
        if f"Exercise {number}" not in source(cell):
            yield f"cell {i} is exercise {number} and does not say so"
        if f"[Solution](solutions/{notebook.name}.md#exercise-{number})" not in source(cell):
            yield f"cell {i}: no link to the solution of exercise {number}"
    for i, cell in cells(notebook, "code", "answer"):
        if i == 0 or "exercise" not in tags(all_cells[i - 1]):
            yield f"cell {i}: no exercise stands before this answer"
        if source(cell) or cell["outputs"]:
            yield f"cell {i}: the reader's cell is not empty"
    for i, cell in cells(notebook, "code"):
        if cell["metadata"].get("jupyter", {}):
            yield f"cell {i} is folded in some viewers and open in others"


def solutions_are_apart_and_whole(notebook):
    found = {int(number): code for number, code, _ in EXECUTE.SOLUTION.findall(notebook.solutions)}
    exercises = len(list(cells(notebook, "markdown", "exercise")))
    if list(found) != list(range(1, exercises + 1)):
        yield f"solutions/{notebook.name}.md has solutions of {list(found)}, and there are {exercises} exercises"
    shown = "\n".join(source(cell) for _, cell in cells(notebook))
    printed = "\n".join(text for _, _, output in outputs(notebook) for text in texts(output))
    for number, code in found.items():
        try:
            tree = ast.parse(code)
        except SyntaxError as error:
            yield f"the solution of exercise {number} is no plain Python (line {error.lineno})"
            continue
        asserting = {"check.close", "check.fails"} & calls(tree)
        if not asserting and not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            yield f"the solution of exercise {number} asserts nothing"
        if code in shown or any(len(text) > 60 and text in printed for text in notebook.printed(number)):
            yield f"the solution of exercise {number} can be read in the notebook"
    if EXECUTE.SOLUTION.sub("", notebook.solutions).count("```"):
        yield f"solutions/{notebook.name}.md has code that is no solution of an exercise: ## Exercise N, then ```python"


def players_are_small_and_named(notebook):
    for i, cell, output in outputs(notebook):
        html = "".join(output.get("data", {}).get("text/html", ""))
        for player in re.findall(r"<audio[^>]*>", html):
            if len(player) > PLAYER_BYTES:
                yield f"cell {i}: a player of {len(player)} bytes, where {PLAYER_BYTES} are allowed"
            if " controls" not in player or len(re.findall(r'aria-label="([^"]*)"', player)[0:1]) < 1:
                yield f"cell {i}: a player without controls or a label"
            if "sound" not in tags(cell):
                yield f"cell {i} plays a sound and is not tagged 'sound'"
        if "<audio" in html and 'src="data:audio/' not in html:
            yield f"cell {i}: a player whose sound is not in the page"


def graded_exercises_are_mentioned(notebook):
    text = "\n".join(source(cell) for _, cell in cells(notebook, "markdown"))
    for each in notebook.exercises:
        if f'grade("{each}", {each})' not in text:
            yield f'the exercise {each} belongs to this notebook, and it is not mentioned as `grade("{each}", {each})`'
    for mentioned in re.findall(r'grade\("(\w+)"', text):
        if mentioned not in notebook.all_exercises:
            yield f"the grader has no exercise {mentioned}"


def equations_cite_their_place(notebook):
    for i, cell in cells(notebook, "markdown"):
        text = source(cell)
        displayed = "$$" in text or re.search(r"\\\[|\\begin\{(equation|align|gather)", text)
        if displayed and "equation" not in tags(cell):
            yield f"cell {i} displays an equation and is not tagged 'equation'"
        if "equation" in tags(cell) and "$" not in text:
            yield f"cell {i} is tagged 'equation' and has none"
        if (displayed or "equation" in tags(cell)) and not PLACE.search(text):
            yield f"cell {i} has an equation and no place in a paper: §, eq., Appendix or Algorithm"


def executed_in_order(notebook):
    counts = [cell["execution_count"] for _, cell in cells(notebook, "code") if source(cell)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells were not executed in order from a clean kernel: {counts}"
    for i, _cell, output in outputs(notebook):
        if output["output_type"] == "error":
            yield f"cell {i} ended in an error: {output.get('ename')}"
        if output["output_type"] == "stream" and output["name"] == "stderr":
            yield f"cell {i} wrote to stderr: {''.join(output['text'])[:80]}"


def pictures_have_alt_text(notebook):
    for i, _cell, output in outputs(notebook):
        for kind in pictures(output):
            if len(output.get("metadata", {}).get(kind, {}).get("alt", "").split()) < 4:
                yield f"cell {i}: {kind} without an alt text of at least four words"
            if kind == "image/svg+xml" and "<title>" not in "".join(output["data"][kind]):
                yield f"cell {i}: an SVG without a title"
        html = "".join(output.get("data", {}).get("text/html", ""))
        if "<svg" in html or re.search(r"<img(?![^>]*\balt=\"[^\"]{10,})", html):
            yield f"cell {i}: HTML with a picture that has no alt text"
    for i, cell in cells(notebook, "markdown"):
        text = source(cell)
        if re.search(r"!\[\s*\]", text) or re.search(r"<img(?![^>]*\balt=\"[^\"]{10,})", text):
            yield f"cell {i}: a picture in the text without alt text"


def pictures_are_tagged_and_explained(notebook):
    all_cells = notebook.raw["cells"]
    for i, cell in cells(notebook, "code"):
        shown = any(pictures(output) for output in cell["outputs"])
        if shown and not {"picture", "ribbon"} & set(tags(cell)):
            yield f"cell {i} shows a picture and is not tagged 'picture'"
        if "picture" in tags(cell) and not shown:
            yield f"cell {i} is tagged 'picture' and shows none"
        explained = i + 1 < len(all_cells) and all_cells[i + 1]["cell_type"] == "markdown"
        if "picture" in tags(cell) and not explained:
            yield f"cell {i}: no words stand under this picture"


def small_enough(notebook):
    if notebook.size > MEGABYTES * 1e6:
        yield f"{notebook.size / 1e6:.2f} MB are stored, where {MEGABYTES} are allowed"


def nothing_of_this_machine(notebook):
    path = re.compile(r"(?<![\w.:/])(?:/(?:home|Users|root|tmp|var|work|mnt|private)/|[A-Za-z]:\\\w)[^\s\"'<>]*")
    address = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
    for i, cell in cells(notebook):
        for text in [source(cell), *(text for output in cell.get("outputs", []) for text in texts(output))]:
            for pattern in (path, address):
                if found := pattern.search(text):
                    yield f"cell {i} holds {found.group()}"


def plain_python(notebook):
    for i, cell in cells(notebook, "code"):
        try:
            ast.parse(source(cell))
        except SyntaxError as error:
            yield f"cell {i} is no plain Python (line {error.lineno})"


def imports_are_allowed(notebook):
    for i, _cell, tree in syntax(notebook):
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                package = name.partition(".")[0]
                if package not in PACKAGES | sys.stdlib_module_names or (package == "scipy" and name != "scipy.signal"):
                    yield f"cell {i} imports {name}"
        if re.search(r"\b(matplotlib|torch)\b", ast.unparse(tree)):
            yield f"cell {i} names torch or matplotlib"


def no_stubs(notebook):
    for i, cell in cells(notebook):
        if found := STUB.search(source(cell)):
            yield f"cell {i} has a stub: {found.group()}"
    for i, _cell, tree in syntax(notebook):
        for node in ast.walk(tree):
            dots = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
            if dots or isinstance(node, ast.Pass):
                yield f"cell {i} has a stub: {'...' if dots else 'pass'}"


def no_library_code(notebook):
    for i, _cell, tree in syntax(notebook):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > LINES:
                    yield f"cell {i}: {node.name} has {lines} lines, where {LINES} are allowed"


def no_global_randomness(notebook):
    for i, cell, tree in syntax(notebook):
        for call in calls(tree):
            if re.fullmatch(r"(np|numpy)\.random\.(?!default_rng|Generator)\w+", call):
                yield f"cell {i} draws from a global generator: {call}"
        if re.search(r"^\s*(import|from) (random|numpy\.random)\b", source(cell), re.MULTILINE):
            yield f"cell {i} imports a global generator"
        if re.search(r"default_rng\(\s*\)", ast.unparse(tree)):
            yield f"cell {i} has a generator without a seed"


def links_resolve(notebook):
    for i, cell in cells(notebook, "markdown"):
        for words, target in links(source(cell)):
            if re.match(r"[a-z]+:|#", target):
                continue
            if not (notebook.folder / target.partition("#")[0]).exists():
                yield f"cell {i}: [{words}]({target}) leads nowhere"


def neighbours_are_linked(notebook):
    place = notebook.order.index(notebook.name)
    before, after = notebook.order[place - 1 : place] if place else [], notebook.order[place + 1 : place + 2]
    first, last = (
        [target for _, target in links(source(notebook.raw["cells"][end])) if target.endswith(".ipynb")]
        for end in (0, -1)
    )
    if first != [f"{name}.ipynb" for name in before + after]:
        yield f"the first cell links to {first}, not to {before + after}"
    if last[-1:] != [f"{name}.ipynb" for name in after]:
        yield f"the last cell links to {last}, not to {after}"


def begins_and_ends_as_all_do(notebook):
    first, last = (notebook.raw["cells"][end] for end in (0, -1))
    number = EXECUTE.number(notebook.name)
    if first["cell_type"] != "markdown" or not re.match(rf"# {number} \w", source(first)):
        yield f"the first cell is not a title: # {number} …"
    minutes = re.search(r"Reading time: (\d+) minutes", source(first))
    measured = EXECUTE.reading_minutes(notebook.raw)
    if not minutes or int(minutes[1]) != measured:
        yield f"the first cell does not say 'Reading time: {measured} minutes', as execute.py measures it"
    if measured > 60:
        yield f"{measured} minutes are too long: make two notebooks of it"
    if last["cell_type"] != "markdown" or not re.match(r"#+ What you know now", source(last)):
        yield "the last cell is not 'What you know now'"


def cells_of_text_are_short(notebook):
    for i, cell in cells(notebook, "markdown"):
        text = re.sub(r"```.*?```|\$\$.*?\$\$|\]\([^)]*\)", " ", source(cell), flags=re.DOTALL)
        words = len(re.findall(r"\w[\w'’-]*", re.sub(r"\$[^$]*\$|`[^`]*`", "word", text)))
        if words > WORDS:
            yield f"cell {i} has {words} words, where {WORDS} are allowed"


def stored_in_the_common_form(notebook):
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if notebook.raw["metadata"] != metadata:
        yield "the metadata are an editor's: python notebooks/execute.py NAME --store"
    for i, cell in cells(notebook):
        if cell.get("id") != f"{EXECUTE.number(notebook.name)}-{i:02d}":
            yield f"cell {i} has the id {cell.get('id')}: python notebooks/execute.py NAME --store"
        if extra := cell["metadata"].keys() - {"tags"}:
            yield f"cell {i} has metadata that no reader needs: {', '.join(sorted(extra))}"


RULES = [
    tags_are_known_and_counted,
    checks_assert,
    break_its_fail,
    ribbons_and_sources_are_shown,
    exercises_have_an_empty_answer,
    solutions_are_apart_and_whole,
    players_are_small_and_named,
    graded_exercises_are_mentioned,
    equations_cite_their_place,
    executed_in_order,
    pictures_have_alt_text,
    pictures_are_tagged_and_explained,
    small_enough,
    nothing_of_this_machine,
    plain_python,
    imports_are_allowed,
    no_stubs,
    no_library_code,
    no_global_randomness,
    links_resolve,
    neighbours_are_linked,
    begins_and_ends_as_all_do,
    cells_of_text_are_short,
    stored_in_the_common_form,
]


# --- the glossary ----------------------------------------------------------------------------------------------------


def glossary_faults(glossary, notebooks):
    """Terms that no notebook links to, links to terms that there are not, and a term that stands unlinked before."""
    terms = {heading.replace(" ", "-"): heading for heading in re.findall(r"^## (.+)$", glossary, re.MULTILINE)}
    linked = set()
    for name, texts_of in notebooks:
        for text in texts_of:
            for term in re.findall(r"\(GLOSSARY\.md#([^)]*)\)", text):
                if term not in terms:
                    yield f"{name} links to {term}, which the glossary does not have"
                linked.add(term)
            for term, heading in terms.items():
                if term not in linked and re.search(rf"\*\*{re.escape(heading)}\*\*", text, re.IGNORECASE):
                    yield f"{name}: **{heading}** stands first here, and is not linked to the glossary"
                    linked.add(term)
    yield from (f"no notebook links to {heading}" for term, heading in terms.items() if term not in linked)


def test_a_term_links_to_the_glossary_where_it_first_stands():
    notebooks = [
        (name, [source(cell) for _, cell in cells(load(FOLDER / f"{name}.ipynb"), "markdown")]) for name in ORDER
    ]
    faults = list(glossary_faults((FOLDER / "GLOSSARY.md").read_text(encoding="utf-8"), notebooks))
    assert not faults, "\n".join(faults)


def test_the_glossary_names_notebooks_that_there_are():
    glossary = (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8")
    assert all((FOLDER / target).exists() for _, target in links(glossary))
    assert len(re.findall(r"^## ", glossary, re.MULTILINE)) == len(links(glossary)) > 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("**[hop](GLOSSARY.md#hop)**", None),
        ("**hop** and **[hop](GLOSSARY.md#hop)**", "stands first"),
        ("**[hop](GLOSSARY.md#hops)**", "does not have"),
        ("hop", "no notebook links"),
    ],
)
def test_what_is_wrong_with_a_glossary_is_found(text, says):
    faults = list(glossary_faults("# Glossary\n\n## hop\n\nA step.\n", [("01_a", text.split(" and "))]))
    assert bool(faults) == (says is not None)
    assert all(says in fault for fault in faults[:1])


# --- the notebooks ---------------------------------------------------------------------------------------------------


def test_the_course_is_whole():
    assert sorted((path.stem for path in FOLDER.glob("*.ipynb")), key=EXECUTE.number) == ORDER


def test_the_readme_lists_the_course_in_order():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\(notebooks/(\w+)\.ipynb\)", readme) == ORDER


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", ORDER)
def test_every_notebook_holds_every_rule(name, rule):
    faults = list(rule(load(FOLDER / f"{name}.ipynb")))
    assert not faults, "\n".join([name, *faults])


# --- the rules themselves --------------------------------------------------------------------------------------------

ALT = "A square that grows from left to right"


def markdown(text, *words):
    return {"cell_type": "markdown", "metadata": {"tags": list(words)} if words else {}, "source": text}


def code(text, *words, says="", shows=False):
    shown = [{"output_type": "stream", "name": "stdout", "text": [says]}] if says else []
    if shows:
        data = {"image/png": "iVBORw0KGgo=", "image/svg+xml": f"<svg><title>{ALT}</title></svg>", "text/plain": ALT}
        alt = {"image/png": {"alt": ALT}, "image/svg+xml": {"alt": ALT}}
        shown.append({"output_type": "display_data", "data": data, "metadata": alt})
    metadata = {"tags": list(words)} if words else {}
    return {"cell_type": "code", "metadata": metadata, "source": text, "outputs": shown, "execution_count": None}


def sound():
    """A small notebook without a fault, the second of three."""
    made = [
        markdown("# 01 Squares\n\nReading time: 5 minutes. [Back](00_a.ipynb) · [On](02_c.ipynb)"),
        code(
            "import numpy as np\n\nfrom xlsr_ref.checkpoint.read import read_file\n"
            "from xlsr_ref.teach import check, show\n\nrng = np.random.default_rng(0)"
        ),
        markdown("What is a square?", "question"),
        code('show.ribbon("waveform")', "ribbon", shows=True),
        markdown("$$ y = x^2 $$\n\nEuclid, §2. See [above](#above) and [there](https://example.org).", "equation"),
        code("squares = [x * x for x in range(4)]", "by-hand"),
        code("show.source(np.square)", "source"),
        code('with show.figure("…") as ax:\n    ax.plot(x[..., 0])', "real-speech", "picture", shows=True),
        markdown("Look at the slope. ![A slope that grows](02_c.ipynb)"),
        code("check.close(4, 4, expected=0)", "check", says="error 0.0e+00, expected below 0e+00\n"),
        code("with check.fails():\n    assert 5 == 4", "break-it", says="failed, as it must: 5 is not 4\n"),
        markdown("And why?", "question"),
        markdown("Exercise 1. Find the root of 9.\n\n[Solution](solutions/01_b.md#exercise-1)", "exercise"),
        code("", "answer"),
        markdown("Exercise 2. And of 16?\n\n[Solution](solutions/01_b.md#exercise-2)", "exercise"),
        code("", "answer"),
        markdown('Write `root`, then `grade("root", root)`.', "graded"),
        markdown("## What you know now\n\n* Squares. Next: [cubes](02_c.ipynb)"),
    ]
    for i, cell in enumerate(made):
        cell["id"] = f"01-{i:02d}"
    for count, cell in enumerate((cell for cell in made if cell["cell_type"] == "code" and cell["source"]), start=1):
        cell["execution_count"] = count
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


SOLUTIONS = """# 01 Squares: solutions

## Exercise 1

```python
assert 3 * 3 == 9
```

It prints:

```text
three times three is nine, and that is all there is to say about it, as far as we know
```

## Exercise 2

```python
check.close(4 * 4, 16, expected=0)
```
"""


@pytest.fixture
def held(tmp_path):
    """The faults that a rule finds in a made-up notebook, which lies in its folder with its two neighbours."""

    def faults(rule, raw):
        (tmp_path / "solutions").mkdir(exist_ok=True)
        (tmp_path / "solutions" / "01_b.md").write_text(raw.pop("solutions", SOLUTIONS), encoding="utf-8")
        for name in ("00_a", "02_c"):
            (tmp_path / f"{name}.ipynb").touch()
        path = tmp_path / "01_b.ipynb"
        path.write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
        notebook = load(path)
        notebook.order = ["00_a", "01_b", "02_c"]
        notebook.exercises, notebook.all_exercises = ["root"], {"root"}
        return list(rule(notebook))

    return faults


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_notebook_has_no_fault(held, rule):
    assert held(rule, sound()) == []


def tagged(raw, tag):
    return next(cell for cell in raw["cells"] if tag in tags(cell))


def rewrite(tag, old, new):
    """A fault: one piece of the source of the first cell with the tag is replaced."""

    def fault(raw):
        cell = tagged(raw, tag)
        assert old in cell["source"]
        cell["source"] = cell["source"].replace(old, new)

    return fault


def write(tag, text):
    """A fault: another source."""
    return lambda raw: tagged(raw, tag).update(source=text)


def untag(tag, other=()):
    return lambda raw: tagged(raw, tag)["metadata"].update(tags=list(other))


def first(text):
    return lambda raw: raw["cells"][0].update(source=text)


def output(tag, **changes):
    """A fault: the first output of the first cell with the tag is another."""
    return lambda raw: tagged(raw, tag)["outputs"][0].update(changes)


def says(tag, text, name="stdout"):
    return lambda raw: tagged(raw, tag)["outputs"].append({"output_type": "stream", "name": name, "text": text})


def html(text):
    data = {"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}
    return lambda raw: tagged(raw, "check")["outputs"].append(data)


def fold(tag):
    return lambda raw: tagged(raw, tag)["metadata"].update(jupyter={"source_hidden": True})


def solved(change):
    """A fault: another file of solutions."""
    return lambda raw: raw.update(solutions=change(SOLUTIONS))


def plays(sound, label='aria-label="Two tones" ', tag=True, source="data:audio/wav;base64,"):
    """A fault: a player in the output of the check."""
    page = f'<audio controls {label}src="{source}{sound}"></audio>'

    def fault(raw):
        html(page)(raw)
        if tag:
            tagged(raw, "check")["metadata"]["tags"].append("sound")

    return fault


THIRD = "\n## Exercise 3\n\n```python\nassert True\n```\n"
LONG = "def f(x):\n" + "    x = x + 1\n" * 15 + "    return x"
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}

FAULTS = [
    *((tags_are_known_and_counted, f"no {tag}", untag(tag)) for tag, (_, least) in TAGS.items() if least),
    (tags_are_known_and_counted, "a misspelt tag", untag("check", ["check", "brake-it"])),
    (tags_are_known_and_counted, "a tag on the wrong kind of cell", untag("question", ["question", "check"])),
    (checks_assert, "a check that asserts nothing", write("check", "print(4 == 4)")),
    (checks_assert, "a check in a comment", write("check", "# check.close(4, 4)\nprint(4)")),
    (checks_assert, "a check that prints nothing", lambda raw: tagged(raw, "check").update(outputs=[])),
    (break_its_fail, "nothing is expected to fail", write("break-it", "assert 4 == 4")),
    (break_its_fail, "no failure is shown", output("break-it", text="fine\n")),
    (ribbons_and_sources_are_shown, "no ribbon in the ribbon's cell", write("ribbon", "show.waveform(ax, x, 16000)")),
    (ribbons_and_sources_are_shown, "no source in the source's cell", write("source", "print('y = x * x')")),
    (exercises_have_an_empty_answer, "an answer that is given away", write("answer", "assert 3 * 3 == 9")),
    (exercises_have_an_empty_answer, "an output in the reader's cell", says("answer", "3")),
    (exercises_have_an_empty_answer, "no cell for the answer", lambda raw: raw["cells"].pop(13)),
    (exercises_have_an_empty_answer, "no exercise", lambda raw: raw["cells"].pop(12)),
    (exercises_have_an_empty_answer, "an exercise at the end", lambda raw: raw.update(cells=raw["cells"][:13])),
    (exercises_have_an_empty_answer, "no link", rewrite("exercise", "[Solution]", "[Answer]")),
    (exercises_have_an_empty_answer, "another number", rewrite("exercise", "Exercise 1", "Exercise 2")),
    (exercises_have_an_empty_answer, "a folded cell", fold("check")),
    (solutions_are_apart_and_whole, "no solution", solved(lambda text: text.partition("## Exercise 2")[0])),
    (solutions_are_apart_and_whole, "one too many", solved(lambda text: text + THIRD)),
    (solutions_are_apart_and_whole, "no Python", solved(lambda text: text.replace("assert 3", "assert if"))),
    (solutions_are_apart_and_whole, "nothing is asserted", solved(lambda text: text.replace("assert", "print() #"))),
    (solutions_are_apart_and_whole, "code without a heading", solved(lambda text: text + "\n```python\nx = 1\n```\n")),
    (solutions_are_apart_and_whole, "its source in sight", write("by-hand", "assert 3 * 3 == 9")),
    (solutions_are_apart_and_whole, "its output in sight", says("check", SOLUTIONS)),
    (players_are_small_and_named, "a large sound", plays("A" * 61_000)),
    (players_are_small_and_named, "no label", plays("A", label="")),
    (players_are_small_and_named, "no tag", plays("A", tag=False)),
    (players_are_small_and_named, "a sound elsewhere", plays("A", source="https://example.org/a.wav")),
    (graded_exercises_are_mentioned, "an exercise that nobody mentions", write("graded", "Write `root`.")),
    (graded_exercises_are_mentioned, "one that there is not", rewrite("graded", ".", ', `grade("rot", rot)`.')),
    (equations_cite_their_place, "no place", rewrite("equation", "§2", "somewhere")),
    (equations_cite_their_place, "an equation without the tag", untag("equation")),
    (equations_cite_their_place, "another kind of equation", write("exercise", "\\begin{align}y = x\\end{align}, §2")),
    (equations_cite_their_place, "the tag without an equation", write("equation", "It squares, §2.")),
    (executed_in_order, "a cell that was not executed", lambda raw: tagged(raw, "check").update(execution_count=None)),
    (executed_in_order, "a cell executed twice", lambda raw: tagged(raw, "break-it").update(execution_count=99)),
    (executed_in_order, "an error", lambda raw: tagged(raw, "check")["outputs"].append(ERROR)),
    (executed_in_order, "a warning", says("check", "careful", name="stderr")),
    (pictures_have_alt_text, "no alt text", output("picture", metadata={})),
    (pictures_have_alt_text, "one of two forms without", output("picture", metadata={"image/png": {"alt": ALT}})),
    (pictures_have_alt_text, "a word is no alt text", output("picture", metadata={"image/png": {"alt": "Plot"}})),
    (pictures_have_alt_text, "an SVG without a title", output("picture", data={"image/svg+xml": "<svg></svg>"})),
    (pictures_have_alt_text, "an HTML picture", html('<img src="data:image/png;base64,iVBORw0KGgo=">')),
    (pictures_have_alt_text, "an inline SVG", html("<div><svg></svg></div>")),
    (pictures_have_alt_text, "a Markdown picture", write("question", "What is this? ![](02_c.ipynb)")),
    (pictures_have_alt_text, "an img element", write("question", '<img src="02_c.ipynb" alt="">')),
    (pictures_are_tagged_and_explained, "a picture without the tag", untag("picture", ["real-speech"])),
    (pictures_are_tagged_and_explained, "the tag without a picture", untag("check", ["check", "picture"])),
    (pictures_are_tagged_and_explained, "no words below", lambda raw: raw["cells"].pop(8)),
    (small_enough, "a huge output", says("check", "0" * 1_800_000)),
    (nothing_of_this_machine, "a folder in an output", says("check", "read from /home/me/clip.flac")),
    (nothing_of_this_machine, "a folder in a source", write("by-hand", "open('/tmp/x')")),
    (nothing_of_this_machine, "a drive", says("check", "C:\\Users\\me")),
    (nothing_of_this_machine, "a folder in HTML", html("<p>/Users/me/x</p>")),
    (nothing_of_this_machine, "an address", says("check", "<object object at 0x7f2a8c0d1e50>")),
    (plain_python, "a magic", write("by-hand", "%matplotlib inline")),
    (plain_python, "a command", write("by-hand", "!pip install torch")),
    (imports_are_allowed, "torch", write("by-hand", "import torch")),
    (imports_are_allowed, "torch inside a function", write("by-hand", "def f():\n    from torch import nn")),
    (imports_are_allowed, "matplotlib", write("by-hand", "import matplotlib.pyplot as plt")),
    (imports_are_allowed, "matplotlib by a detour", write("by-hand", "__import__('matplotlib')")),
    (imports_are_allowed, "a package with a known beginning", write("by-hand", "import xlsr_ref_too")),
    (imports_are_allowed, "another package", write("by-hand", "import pandas")),
    (imports_are_allowed, "another part of scipy", write("by-hand", "from scipy.special import erf")),
    (no_stubs, "dots", write("by-hand", "def root(x):\n    ...")),
    (no_stubs, "pass", write("by-hand", "def root(x):\n    pass")),
    (no_stubs, "a mark in the code", write("by-hand", "root = 3  # your code here")),
    (no_stubs, "a mark in the text", write("question", "TODO: why?")),
    (no_stubs, "an exception", write("by-hand", "raise NotImplementedError")),
    (no_library_code, "a long function", write("by-hand", LONG)),
    (no_library_code, "a long class", write("by-hand", "class A:\n" + "    x = 1\n" * 15)),
    (no_global_randomness, "a seed", write("by-hand", "np.random.seed(0)")),
    (no_global_randomness, "a global draw", write("by-hand", "x = np.random.randn(3)")),
    (no_global_randomness, "the standard library's", write("by-hand", "import random\nx = random.gauss(0, 1)")),
    (no_global_randomness, "no seed", write("by-hand", "rng = np.random.default_rng()")),
    (links_resolve, "a notebook that is not there", write("question", "As in [nine](09_z.ipynb)?")),
    (links_resolve, "a file that is not there", write("question", "As in [it](../xlsr_ref/nothing.py#L3)?")),
    (neighbours_are_linked, "no way back", first("# 01 Squares\n\n[On](02_c.ipynb)")),
    (neighbours_are_linked, "no way on", first("# 01 Squares\n\n[Back](00_a.ipynb)")),
    (neighbours_are_linked, "a way that skips one", first("# 01 Squares\n\n[Back](00_a.ipynb) [On](03_d.ipynb)")),
    (neighbours_are_linked, "no way on at the end", lambda raw: raw["cells"][-1].update(source="## What you know now")),
    (begins_and_ends_as_all_do, "another number", first("# 02 Squares\n\nReading time: 5 minutes.")),
    (begins_and_ends_as_all_do, "no title", first("Squares\n\nReading time: 5 minutes.")),
    (begins_and_ends_as_all_do, "no reading time", first("# 01 Squares")),
    (begins_and_ends_as_all_do, "a guessed reading time", first("# 01 Squares\n\nReading time: 60 minutes.")),
    (begins_and_ends_as_all_do, "too long", first("# 01 Squares\n\nReading time: 65 minutes.\n" + 9600 * "a ")),
    (begins_and_ends_as_all_do, "no end", lambda raw: raw["cells"].pop()),
    (cells_of_text_are_short, "a wall of text", write("question", "word " * (WORDS + 1))),
    (stored_in_the_common_form, "a version", lambda raw: raw["metadata"]["language_info"].update(version="3.13")),
    (stored_in_the_common_form, "a random id", lambda raw: raw["cells"][3].update(id="b7ff9c24")),
    (stored_in_the_common_form, "no id", lambda raw: raw["cells"][3].pop("id")),
    (stored_in_the_common_form, "a time", lambda raw: raw["cells"][3]["metadata"].update(execution={"iopub": "2026"})),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "fault"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
def test_every_rule_finds_its_faults(held, rule, name, fault):
    raw = copy.deepcopy(sound())
    fault(raw)
    assert held(rule, raw), f"{rule.__name__} overlooked: {name}"


def test_every_rule_has_a_fault():
    assert {rule for rule, _, _ in FAULTS} == set(RULES)
