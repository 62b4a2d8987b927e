"""The Temporal worker: settings, client, activities, drain on SIGTERM; nothing else."""

import asyncio
import signal
from collections.abc import Sequence
from datetime import timedelta

import structlog
import uvloop
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.backtest import Backtests
from activities.bulk import BulkChanges
from activities.connectors.chatwoot import ChatwootConnector
from activities.connectors.connector import Connector
from activities.connectors.email import EmailConnector
from activities.connectors.webhook import WebhookConnector
from activities.deliveries import Deliveries
from activities.desk import Desk
from activities.erasure import Erasing
from activities.escalation_record import EscalationRecord
from activities.export import Exporting
from activities.letters import Letters
from activities.mail import Post
from activities.mail_server import MailServer
from activities.merging import Merging
from activities.removal import Removal
from activities.rollout import Rollout
from activities.roster import Roster
from activities.sweep import Sweep
from activities.ticket_record import TicketRecord
from activities.walls import OneOrganization
from db.channel_secrets import Seal
from db.engine import Sessions, make_application_engine, make_sessions
from domain.delivery import ConnectorName
from garbage_collection import spare_what_is_loaded
from observability import configure_logging
from settings import Settings, read_settings
from telemetry import worker_runtime
from tracing import start_tracing
from workflows.backtest import BacktestWorkflow
from workflows.bell import ensure_sweeps, make_bell
from workflows.bulk import BulkChangeWorkflow
from workflows.connection import connect
from workflows.delivering import DeliveringWorkflow
from workflows.erasure import ErasureWorkflow
from workflows.escalation import EscalationWorkflow
from workflows.export import ExportWorkflow
from workflows.gathering import GatheringWorkflow
from workflows.hand_out import HandOutWorkflow
from workflows.registration import SearchAttributesError, ensure_search_attributes
from workflows.removal import RemovalWorkflow
from workflows.rollout import RolloutWorkflow
from workflows.sending import SendingWorkflow
from workflows.sweeping import SweepWorkflow
from workflows.ticket import TicketWorkflow

log = structlog.get_logger(__name__)

WORKFLOWS: Sequence[type] = (
    TicketWorkflow,
    EscalationWorkflow,
    RolloutWorkflow,
    BacktestWorkflow,
    HandOutWorkflow,
    RemovalWorkflow,
    GatheringWorkflow,
    SendingWorkflow,
    SweepWorkflow,
    DeliveringWorkflow,
    BulkChangeWorkflow,
    ErasureWorkflow,
    ExportWorkflow,
)


def make_worker(
    client: Client, settings: Settings, sessions: Sessions, *, workflows: Sequence[type] = WORKFLOWS
) -> Worker:
    """Put the worker together; whoever runs it owns ``client`` and ``sessions``."""
    desk, removal = Desk(sessions, client), Removal(sessions, client)
    bell = make_bell(client, settings)
    record, roster, rollout = TicketRecord(sessions, desk, bell), Roster(sessions), Rollout(sessions, client)
    backtests, merging, bulk = Backtests(sessions), Merging(sessions, client), BulkChanges(sessions, client)
    post = Post(sessions, _mail_server(settings), _letters(settings))
    seal = Seal(settings.secret_key.get_secret_value())
    deliveries = Deliveries(sessions, _connectors(settings), seal)
    sweep = Sweep(
        sessions,
        bell,
        mails=settings.smtp_host is not None,
        gather=settings.mail_gather,
        keep_backtests=settings.backtests_kept,
        overdue=settings.sweep_every,
    )
    erasing, exporting = Erasing(sessions, client), Exporting(sessions)
    escalations = EscalationRecord(sessions, bell)
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=workflows,
        activities=[
            *(record.record, record.load, roster.choose),
            *(escalations.load, escalations.record, escalations.look),
            *(rollout.tell, backtests.try_rule),
            *(desk.hand_out, removal.release),
            *(merging.merge, merging.forward, bulk.change),
            *(post.plan, post.fold, post.send, post.give_up, sweep.sweep),
            *(deliveries.next, deliveries.deliver, deliveries.give_up),
            *(erasing.tickets, erasing.ticket, erasing.requester),
            *(exporting.files, exporting.page, exporting.finish, exporting.expire),
        ],
        interceptors=[OneOrganization()],
        workflow_runner=SandboxedWorkflowRunner() if settings.worker_sandboxed else UnsandboxedWorkflowRunner(),
        # With a fixed number of pollers most of them wait on sticky queues, and under load a new
        # ticket's first task starves for seconds (https://github.com/temporalio/sdk-rust/issues/1579).
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        # A killed worker's tickets are waited for this long before another worker gets their next task. The default of
        # ten seconds is as long as a command waits for its answer.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=4),
        max_concurrent_workflow_tasks=settings.worker_max_concurrent_workflow_tasks,
        max_cached_workflows=settings.worker_max_cached_workflows,
        max_concurrent_activities=settings.worker_max_concurrent_activities,
        graceful_shutdown_timeout=settings.shutdown_timeout,
        deployment_config=_deployment(settings),
    )


def _mail_server(settings: Settings) -> MailServer:
    password = settings.smtp_password
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=password.get_secret_value() if password else None,
        sender=settings.mail_from,
        secret=settings.secret_key.get_secret_value(),
        ca_file=settings.smtp_ca_file,
        seconds=settings.smtp_timeout.total_seconds(),
    )


def _connectors(settings: Settings) -> dict[ConnectorName, Connector]:
    """The ways to customers; what ``domain.delivery.FETCHED`` names needs none."""
    seconds = settings.webhook_timeout.total_seconds()
    return {
        ConnectorName.WEBHOOK: WebhookConnector(private=settings.webhook_private_addresses, seconds=seconds),
        ConnectorName.EMAIL: EmailConnector(_mail_server(settings)),
        ConnectorName.CHATWOOT: ChatwootConnector(private=settings.webhook_private_addresses, seconds=seconds),
    }


def _letters(settings: Settings) -> Letters:
    return Letters(
        public_url=settings.web_url,
        secret=settings.secret_key.get_secret_value(),
        sender=settings.mail_from,
        reply_to=settings.mail_reply_to,
        gather=settings.mail_gather,
    )


def _deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """``None`` without a build id: such a worker takes every task, as do all that ran before it."""
    if settings.worker_build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, settings.worker_build_id),
        use_worker_versioning=True,
        # A ticket lives for weeks: pinned to its first build, it would keep that build's workers alive as long.
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


async def serve(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what has begun."""
    engine = make_application_engine(settings)
    tracing = start_tracing(settings, "baton-worker")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        client = await connect(settings, runtime=worker_runtime(settings), plugins=tracing.plugins)
        await ensure_search_attributes(client)
        await ensure_sweeps(client, settings)
        async with make_worker(client, settings, make_sessions(engine)):
            log.info(
                "worker_started",
                task_queue=settings.temporal_task_queue,
                temporal=settings.temporal_address,
                encryption_key=settings.encryption_keys[0].id if settings.encryption_keys else None,
                build_id=settings.worker_build_id,
            )
            await stop.wait()
            log.info("worker_draining", seconds=settings.shutdown_timeout.total_seconds())
    finally:
        await engine.dispose()
        tracing.stop()
        # Temporal's runtime may still call back for finished RPCs; an interpreter that exits in that
        # moment crashes (https://github.com/temporalio/sdk-python/issues/300).
        await asyncio.sleep(0.25)
    log.info("worker_stopped")


def main() -> None:
    settings = read_settings()
    configure_logging(settings)
    spare_what_is_loaded()
    try:
        uvloop.run(serve(settings))
    except SearchAttributesError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
