"""The teaching notebooks without their answers, for students: made from the same files, so that they cannot disagree.

A cell with the tag ``answer`` holds one. ``make student`` writes the students' versions into ``notebooks/student/``.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

__all__ = ["ANSWER", "PLACEHOLDER", "student_version", "write_student_versions"]

ANSWER = "answer"
PLACEHOLDER = "*Your prediction:*"
_INVITATION = "\n\n*Student version: write your predictions into the cells below before you run the code.*"
FOLDER = "student"
_NEW = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}


def student_version(notebook: NotebookNode, *, lessons: tuple[str, ...] = ()) -> NotebookNode:
    """Return a notebook without answers and without outputs.

    Parameters
    ----------
    notebook : NotebookNode
        Cells with the tag ``"answer"`` hold answers: words are replaced by room for the student's own, code is left
        out.
    lessons : tuple of str
        Names of the notebooks (with suffix) that have a student version too: links to these stay, links to others lead
        one folder up.

    Returns
    -------
    NotebookNode
        A new one. The same notebook gives the same version.

    Raises
    ------
    ValueError
        If the notebook does not begin with a title, or the title is an answer.

    Examples
    --------
    >>> from nbformat.v4 import new_markdown_cell, new_notebook
    >>> cells = [new_markdown_cell("# One"), new_markdown_cell("42", metadata={"tags": ["answer"]})]
    >>> [cell.source for cell in student_version(new_notebook(cells=cells)).cells][1]
    '*Your prediction:*'
    """
    first = notebook.cells[0] if notebook.cells else None
    if first is None or not first.source.startswith("# ") or first.cell_type != "markdown" or _is_answer(first):
        raise ValueError("A lesson must begin with a title: a cell of words that starts with '# '.")
    cells = []
    for cell in notebook.cells:
        answer = _is_answer(cell)
        if answer and cell.cell_type == "code":
            continue
        if answer:
            made = nbformat.v4.new_markdown_cell(PLACEHOLDER)
        elif cell.cell_type == "markdown":
            made = nbformat.v4.new_markdown_cell(_with_links(cell.source, lessons))
        else:
            made = _NEW[cell.cell_type](cell.source)
        # Older notebooks have no ids; a random one would differ from time to time.
        made["id"] = cell.get("id", f"cell-{len(cells)}")
        cells.append(made)
    cells[0].source += _INVITATION
    metadata = {name: notebook.metadata[name] for name in ("kernelspec", "language_info") if name in notebook.metadata}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _with_links(markdown: str, lessons: tuple[str, ...]) -> str:
    def moved(match: re.Match[str]) -> str:
        target = match[1]
        # A scheme (https:, mailto:), or a place in this notebook.
        stays = re.match(r"[a-zA-Z][\w+.-]*:|#", target) or target.partition("#")[0] in lessons
        return match[0] if stays else f"](../{target})"

    return re.sub(r"\]\(([^)]+)\)", moved, markdown)


def write_student_versions(notebooks: str | Path = "notebooks") -> list[Path]:
    """Write the student version of every notebook that has answers.

    Parameters
    ----------
    notebooks : str or Path
        Folder of ``*.ipynb``; the versions go into its folder ``student``.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    FileNotFoundError
        If no notebook there has an answer.
    """
    folder = Path(notebooks).expanduser()
    read = {path.name: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}
    lessons = {name: notebook for name, notebook in read.items() if _has_answers(notebook)}
    if not lessons:
        raise FileNotFoundError(
            f"No notebook in {folder.resolve()} has a cell with the tag {ANSWER!r}. Run this where the README lies."
        )
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    written = []
    for name, notebook in lessons.items():
        nbformat.write(student_version(notebook, lessons=tuple(lessons)), target / name)
        written.append(target / name)
    return written


def _has_answers(notebook: NotebookNode) -> bool:
    return any(_is_answer(cell) for cell in notebook.cells)


def _is_answer(cell: NotebookNode) -> bool:
    return ANSWER in cell.metadata.get("tags", [])


if __name__ == "__main__":
    write_student_versions()
