"""A replay's report as tables, for a terminal and for Markdown."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from benchmarks.replay.delivery_account import DeliveryAccount
from benchmarks.replay.escalation_account import EscalationAccount
from benchmarks.replay.judgement import Judgement, LabelNumbers, RuleNumbers
from benchmarks.replay.reconciliation import Reconciliation
from benchmarks.replay.report import BrandNumbers, Report, RequestNumbers, RunFacts
from benchmarks.replay.service import ServiceNumbers
from domain.clocks import Metric
from domain.rules.rule import RuleKind

SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Section:
    """A table with a heading; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def sections(report: Report) -> list[Section]:
    """The report as tables, in the order they are read."""
    judgement = report.judgement
    found = [
        _run_section(report.run),
        _brands_section(report.brands),
        _escalations_section(judgement),
        _rules_section("Escalation events", "opened", RuleKind.ESCALATION_EVENT, judgement.rules),
        _rules_section("Routing rules", "routed", RuleKind.ROUTING_RULE, judgement.rules),
    ]
    if judgement.sentiment:
        found += [
            _labels_section("Sentiment against people's labels", judgement.sentiment.labels),
            _confusion_section(judgement.sentiment.confusion),
        ]
    if judgement.subjects:
        title = f"Tags of {judgement.subjects.tickets:,} tickets against the reason a person named"
        found.append(_labels_section(title, judgement.subjects.labels))
    return [
        *found,
        _service_section(report.service),
        _transitions_section(report),
        _queue_section(report.reconciliation.escalations),
        _deliveries_section(report.reconciliation.deliveries),
        _requests_section(report.requests),
        _checks_section(report.reconciliation),
    ]


def _run_section(run: RunFacts) -> Section:
    span = timedelta(seconds=round((run.stream_ended_at - run.stream_began_at).total_seconds()))
    kept = span.total_seconds() / run.seconds
    rows = [
        ("Stream", f"{run.messages:,} messages in {run.conversations:,} conversations over {_days(span)}"),
        ("Speed-up", f"{run.speed_up:g} times asked for, {kept:,.0f} times reached"),
        ("Rules, in the stream's time", run.rules),
        ("Duration", f"{run.seconds:,.0f} s"),
        ("Messages", f"{run.messages_a_second:,.1f} a second"),
        (
            "Events",
            f"{run.events:,}; {run.events_a_second:,.1f} a second, {run.busiest_minute:,} in the busiest minute",
        ),
        ("Machine", f"{run.cores} cores for Postgres, Temporal, worker, API and this driver; {run.system}"),
    ]
    return Section("Run", ("what", "measured"), rows)


def _brands_section(brands: Sequence[BrandNumbers]) -> Section:
    names = [name for name in BrandNumbers.model_fields if name not in ("brand", "statuses")]
    rows = [(each.brand, *(f"{getattr(each, name):,}" for name in names)) for each in brands]
    rows.append(("all", *(f"{sum(getattr(each, name) for each in brands):,}" for name in names)))
    return Section("Organizations", ("brand", *(name.replace("_", " ") for name in names)), rows)


def _transitions_section(report: Report) -> Section:
    statuses = Counter[str]()
    for brand in report.brands:
        statuses.update(brand.statuses)
    rows = [
        ("Transitions", _listed(report.transitions)),
        ("Events", _listed(report.events)),
        ("Tickets at the end", _listed(statuses)),
    ]
    return Section("What happened", ("what", "how often"), rows)


def _escalations_section(judgement: Judgement) -> Section:
    sentiment = judgement.sentiment
    rows = [
        ("Conversations that escalated", f"{judgement.escalated:,} of {judgement.conversations:,}"),
        ("Because of", _listed(judgement.because)),
        ("Messages that ask for a person", f"{judgement.human_requests:,}; said by {_listed(judgement.decided_by)}"),
    ]
    if sentiment:
        rows.append(
            (
                "Sentiment, as people label it",
                f"{sentiment.agreement:.1%} of {sentiment.messages:,}, macro F1 {sentiment.macro_f1:.3f}; "
                f"{sentiment.unscored:,} without a score",
            )
        )
    return Section("What escalated", ("what", "measured"), rows)


def _rules_section(title: str, doing: str, kind: RuleKind, rules: Sequence[RuleNumbers]) -> Section:
    rows = [
        (each.rule, *(f"{number:,}" for number in (each.opened, each.alone, each.acted, each.rested, each.shadow)))
        for each in rules
        if each.kind == kind
    ]
    return Section(title, ("rule", f"tickets {doing}", "alone", "acted", "rested", "in shadow"), rows)


def _labels_section(title: str, labels: Sequence[LabelNumbers]) -> Section:
    rows = [
        (
            each.label,
            *(f"{number:,}" for number in (each.labelled, each.said, each.both)),
            _ratio(each.precision),
            _ratio(each.recall),
        )
        for each in labels
    ]
    return Section(title, ("label", "labelled", "said", "both", "precision", "recall"), rows)


def _confusion_section(confusion: dict[str, dict[str, int]]) -> Section:
    names = list(confusion)
    rows = [(true, *(f"{confusion[true][said]:,}" for said in names)) for true in names]
    return Section("Sentiment: rows are people, columns Baton", ("label", *names), rows)


def _service_section(numbers: Sequence[ServiceNumbers]) -> Section:
    brands = list(dict.fromkeys(each.brand for each in numbers))
    cells = {(each.brand, each.metric): _kept(each.met, each.breached) for each in numbers}
    totals = [
        _kept(
            sum(each.met for each in numbers if each.metric == metric),
            sum(each.breached for each in numbers if each.metric == metric),
        )
        for metric in Metric
    ]
    rows = [(brand, *(cells[brand, metric.value] for metric in Metric)) for brand in brands]
    columns = ("brand", *(metric.replace("_", " ") for metric in Metric))
    return Section("SLA compliance: met of all that were met or breached", columns, [*rows, ("all", *totals)])


def _kept(met: int, breached: int) -> str:
    settled = met + breached
    return f"{met / settled:.1%} of {settled:,}" if settled else "none"


def _requests_section(requests: Sequence[RequestNumbers]) -> Section:
    rows = [
        (
            each.what,
            *(f"{number:,.0f}" for number in (each.count, each.p50_ms, each.p99_ms)),
            *(str(number) for number in (each.sent_again, each.conflicts, each.pending)),
        )
        for each in requests
    ]
    return Section("Requests", ("kind", "count", "p50 ms", "p99 ms", "sent again", "conflicts", "pending"), rows)


def _queue_section(found: EscalationAccount) -> Section:
    rows = [
        ("Escalations", f"{found.raised:,} in {found.conversations:,} conversations"),
        ("Raised by", _listed(found.raised_by)),
        ("All their reasons", _listed(found.reasons)),
        ("What agents and bots did", _listed(found.acknowledged)),
        ("A human had them", f"{found.ever_claimed:,}; {found.came_back:,} came back to the queue"),
        ("Of these ended", _listed(found.ended_claimed)),
        ("At the end", _listed(found.statuses)),
        ("With a ticket", f"{found.with_ticket:,}"),
        ("Notices to members", f"{found.notices:,}"),
    ]
    return Section("Escalations", ("what", "how often"), rows)


def _deliveries_section(found: DeliveryAccount) -> Section:
    rows = [
        ("Deliveries", f"{found.made:,}: {_listed(found.contents)}"),
        ("Baton says", _listed(found.states)),
        ("The receiver has", f"{found.received:,}, after {found.attempts:,} attempts"),
        ("What it did with these", _listed(found.did)),
        ("Came more than once", f"{found.retried:,}; {found.repeated:,} times when it had them already"),
        ("Answers of agents", f"{found.answers:,}"),
    ]
    return Section("Deliveries", ("what", "how often"), rows)


def _checks_section(reconciliation: Reconciliation) -> Section:
    messages, models = reconciliation.messages, reconciliation.read_models
    queue, deliveries = reconciliation.escalations, reconciliation.deliveries
    conversations = reconciliation.conversations
    wrong = (
        messages.lost,
        messages.stored_twice,
        messages.altered,
        messages.not_told,
        messages.told_twice,
        messages.told_unasked,
        messages.unknown,
    )
    rows = [
        ("Messages stored once", f"{messages.stored_once:,} of {messages.sent:,}"),
        ("Told to one ticket, once", f"{messages.told_once:,}"),
        ("In a conversation without a ticket by then", f"{messages.without_ticket:,}"),
        (
            "Lost, stored twice, altered, not told, told twice, told unasked, unknown",
            _numbers(*wrong),
        ),
        ("Conversations with a ticket, without", f"{conversations.with_ticket:,}, {conversations.without_ticket:,}"),
        ("Read models equal to their workflow", f"{models.equal:,} of {models.tickets:,}"),
        ("Differing, missing, stories with a gap", f"{models.differing}, {models.missing}, {models.gaps}"),
        ("Compared with a running workflow, with an ended one", f"{models.running:,}, {models.ended:,}"),
        ("Escalations that came into the queue, and somebody was told", f"{queue.told:,}"),
        ("Equal to their workflow, replaced by a later one", f"{queue.equal:,}, {queue.replaced:,}"),
        (
            "Live twice, reasons lacking, reasons unasked, acts undone, untold, told twice, differing, missing",
            _numbers(
                queue.doubled,
                queue.lacking,
                queue.unasked,
                queue.undone,
                queue.untold,
                queue.told_twice,
                queue.differing,
                queue.missing,
            ),
        ),
        ("Deliveries sent, received", f"{deliveries.states['sent']:,}, {deliveries.received:,}"),
        (
            "Unreceived, unsettled, given up, unknown, altered, said twice, out of order, unsaid, forged",
            _numbers(
                deliveries.unreceived,
                deliveries.unsettled,
                deliveries.given_up,
                deliveries.unknown,
                deliveries.altered,
                deliveries.said_twice,
                deliveries.disordered,
                deliveries.unsaid,
                deliveries.forged,
            ),
        ),
    ]
    return Section("Reconciliation", ("what", "result"), rows)


def problems_in_words(report: Report) -> list[str]:
    """The first problems, and how many more there are; empty where all is well."""
    problems = report.reconciliation.problems
    more = len(problems) - SHOWN_PROBLEMS
    return problems[:SHOWN_PROBLEMS] + (
        [f"and {more} more, all of them in the JSON report (--json)"] if more > 0 else []
    )


def show(report: Report, console: Console) -> None:
    """Print the tables, then the problems."""
    for section in sections(report):
        table = Table(title=section.title, title_justify="left", title_style="bold")
        for position, column in enumerate(section.columns):
            table.add_column(column, justify="right" if position and len(section.columns) > 2 else "left")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
    for problem in problems_in_words(report):
        console.print(f"- {problem}")


def markdown(report: Report) -> str:
    """The tables and the problems for a page."""
    parts = []
    for section in sections(report):
        align = "---" if len(section.columns) == 2 else "---:"
        lines = [
            f"### {section.title}",
            "",
            _row(section.columns),
            _row(["---", *[align] * (len(section.columns) - 1)]),
        ]
        parts.append("\n".join([*lines, *(_row(row) for row in section.rows)]))
    if problems := problems_in_words(report):
        parts.append("\n".join(["### Problems", "", *(f"- {problem}" for problem in problems)]))
    return "\n\n".join(parts) + "\n"


def _numbers(*counts: int) -> str:
    return ", ".join(str(count) for count in counts)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()) or "none"


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} days"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
