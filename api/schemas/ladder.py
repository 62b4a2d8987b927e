"""Ladders as clients send and see them."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Document, Name, View
from domain.ladders import MAX_STEPS, EscalationLadder, LadderStep, ReminderLadder, ReminderStep


class ReminderLadderDocument(Document):
    """When a waiting ticket reminds its customer, and when it gives up; each step counts from the start of waiting."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Patient",
                    "is_default": True,
                    "steps": [
                        {"after": "P2D", "action": "remind"},
                        {"after": "P7D", "action": "remind"},
                        {"after": "P14D", "action": "resolve"},
                    ],
                }
            ]
        }
    )

    name: Name
    steps: list[ReminderStep] = Field(min_length=1, max_length=MAX_STEPS)
    is_default: bool = Field(default=False, description="New waiting periods follow the default ladder.")

    def ladder(self) -> ReminderLadder:
        """The domain's ladder, checked."""
        return ReminderLadder(name=self.name, steps=tuple(self.steps)).checked()


class ReminderLadderView(View):
    """A reminder ladder. Waiting periods that run already stay on the one they began with."""

    id: UUID
    name: str
    steps: list[ReminderStep]
    is_default: bool
    version: int
    created_at: datetime


class EscalationLadderDocument(Document):
    """Steps that run until somebody acts; each waits for the step before it, then does all its actions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Overdue",
                    "steps": [
                        {"wait": "PT0S", "actions": [{"kind": "notify", "targets": ["team"]}]},
                        {
                            "wait": "PT30M",
                            "actions": [
                                {"kind": "raise_priority"},
                                {"kind": "notify", "targets": ["supervisors"]},
                                {"kind": "reassign", "to": "next_member"},
                            ],
                        },
                    ],
                    "repeat": 1,
                }
            ]
        }
    )

    name: Name
    steps: list[LadderStep] = Field(min_length=1, max_length=MAX_STEPS)
    repeat: int = Field(default=0, ge=0, le=MAX_STEPS, description="How often it begins again after its last step.")

    def ladder(self) -> EscalationLadder:
        """The domain's ladder, checked."""
        return EscalationLadder(name=self.name, steps=tuple(self.steps), repeat=self.repeat).checked()


class EscalationLadderView(View):
    """An escalation ladder. Ladders that are being climbed stay as they began."""

    id: UUID
    name: str
    steps: list[LadderStep]
    repeat: int
    version: int
    created_at: datetime
