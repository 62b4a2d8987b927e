"""Tables as CSV, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable

from fastapi import Response
from pydantic import BaseModel

MEDIA_TYPE = "text/csv"

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet may take for the beginning of a formula."""


def csv_response(columns: Iterable[str], rows: Iterable[BaseModel], name: str) -> Response:
    """One line a row, and a header; names that people gave cannot become formulas."""
    columns = list(columns)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        values = row.model_dump(mode="json")
        writer.writerow([_cell(values[column]) for column in columns])
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(out.getvalue(), headers=headers, media_type=MEDIA_TYPE)


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return f"'{value}"
    return "" if value is None else value
