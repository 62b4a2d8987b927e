"""Sending one mail."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.signatures import GIVE_MAIL_UP, SEND_MAIL, MailOutcome, SendMail
    from domain.mail import TRIED_FOR


@workflow.defn(name="Mail")
class SendingWorkflow:
    """Offers a mail to the mail server until that takes or refuses it, and gives up after a day."""

    @workflow.run
    async def run(self, mail: SendMail) -> MailOutcome:
        try:
            outcome: MailOutcome = await workflow.execute_activity(
                SEND_MAIL,
                mail,
                result_type=MailOutcome,
                start_to_close_timeout=timedelta(seconds=90),
                schedule_to_close_timeout=TRIED_FOR,
                # Who greylists wants to be asked again after a minute or some.
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=30)),
                summary="Offer the mail to the server",
            )
        except ActivityError:
            outcome = await workflow.execute_activity(
                GIVE_MAIL_UP,
                mail,
                result_type=MailOutcome,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
                summary="Nobody took it for a day",
            )
        return outcome
