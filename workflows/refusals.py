"""A domain's refusal on its way out of a workflow."""

from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import DomainError


def refuse(refusal: DomainError) -> NoReturn:
    """Raise it as Temporal carries it: any other exception would wedge the workflow's task."""
    raise ApplicationError(str(refusal), dict(refusal.context), type=refusal.code, non_retryable=True) from refusal
