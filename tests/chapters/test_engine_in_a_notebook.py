"""The engine of the log's preparation starts where there is a kernel, and no widgets."""

import nbformat
from nbclient import NotebookClient


def test_an_engine_starts_in_a_notebook() -> None:
    cell = nbformat.v4.new_code_cell(
        "from recflax.data.engines import connect\nconnect().sql('select 7 as n').to_pandas().n[0]"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    [shown] = cell["outputs"]
    assert "7" in shown["data"]["text/plain"]
