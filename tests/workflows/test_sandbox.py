import pytest
from temporalio import workflow
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
    UnintentionalPassthroughError,
)
from temporalio.workflow import SandboxImportNotificationPolicy, _Definition

from worker import WORKFLOWS

STRICT = SandboxedWorkflowRunner(
    SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)


@workflow.defn
class ImportsByTheWay:
    @workflow.run
    async def run(self) -> None:
        """Never runs."""


@pytest.mark.parametrize("which", WORKFLOWS, ids=lambda which: which.__name__)
async def test_workflow_module_imports_nothing_anew_for_each_instance(which: type) -> None:
    STRICT.prepare_workflow(_Definition.must_from_class(which))


async def test_import_that_is_not_passed_through_would_be_noticed() -> None:
    # This module imports pytest outright, as no workflow's module may.
    with pytest.raises(UnintentionalPassthroughError):
        STRICT.prepare_workflow(_Definition.must_from_class(ImportsByTheWay))
