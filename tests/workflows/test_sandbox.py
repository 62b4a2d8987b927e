import sys
from types import ModuleType

import pytest
from temporalio import workflow
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
    UnintentionalPassthroughError,
)
from temporalio.workflow import SandboxImportNotificationPolicy, _Definition

from worker import WORKFLOWS

OURS = ("workflows", "activities", "domain", "settings")

STRICT = SandboxedWorkflowRunner(
    SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)


class Observed(SandboxedWorkflowRunner):
    """Keeps what each instance's sandbox has loaded."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = super().create_instance(det)
        LOADED.update(instance.importer.new_modules)  # type: ignore[attr-defined]
        return instance


LOADED: dict[str, ModuleType] = {}


@workflow.defn
class ImportsByTheWay:
    @workflow.run
    async def run(self) -> None:
        """Never runs."""


@pytest.mark.parametrize("which", WORKFLOWS, ids=lambda which: which.__name__)
async def test_workflow_module_imports_nothing_anew_for_each_instance(which: type) -> None:
    STRICT.prepare_workflow(_Definition.must_from_class(which))


@pytest.mark.parametrize("which", WORKFLOWS, ids=lambda which: which.__name__)
async def test_only_the_workflow_module_is_executed_again_for_each_instance(which: type) -> None:
    LOADED.clear()
    Observed().prepare_workflow(_Definition.must_from_class(which))
    anew = {name for name, module in LOADED.items() if name in sys.modules and sys.modules[name] is not module}
    assert {name for name in anew if name.startswith(OURS)} == {"workflows", which.__module__}


async def test_import_that_is_not_passed_through_would_be_noticed() -> None:
    # This module imports pytest outright, as no workflow's module may.
    with pytest.raises(UnintentionalPassthroughError):
        STRICT.prepare_workflow(_Definition.must_from_class(ImportsByTheWay))
