"""People and their accounts: signing up, in and out, passwords, and joining an organization."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from fastapi import Request
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Services
from api.guessing import Guesses
from api.invitations import find_open, join, token_hash
from api.oidc import Person
from api.passwords import check_password
from api.problems import Problem, unique_or
from api.schemas.account import AccountView, MembershipView, SignedInView, SignUp
from api.schemas.invitation import AcceptInvitation
from api.schemas.organization import CreateOrganization
from api.schemas.people import MemberStatus
from api.security import hash_token
from api.sessions import begin_session, client_address
from db.accounts import find_account, memberships, organization_to_begin_with
from db.audit import Origin, audit_by, write_event
from db.callers import SessionCaller, access_ended
from db.mail import send_mail
from db.models import Account, AccountSession, Identity, Invitation, Member, Organization, PasswordReset
from domain.assignment import Presence
from domain.events import Actor, ActorKind
from domain.mail import TOKEN_GOES_HERE, as_html, mail_token
from domain.permissions import Role

RESET_LASTS = timedelta(hours=1)
_PURPOSE = "password-reset"


class Accounts:
    """What somebody at the door asks for; each call is transactions of its own.

    ``session`` must not be in a transaction, and no organization has been entered: whose somebody is, is what is
    found out here.
    """

    def __init__(self, session: AsyncSession, services: Services, request: Request) -> None:
        self._session = session
        self._services = services
        self._request = request
        self._address = client_address(request)
        self._guesses = Guesses(services.sessions, services.settings.secret_key)

    async def sign_up(self, document: SignUp) -> tuple[str, SignedInView]:
        """Make an organization with its first owner; the session's token and its view.

        An address that has an account already gets one more organization, if the password is right.
        """
        await self._check_open()
        password = document.password.get_secret_value()
        check_password(password, document.email)
        limits = self._guesses.of_password(self._request, document.email)
        await self._guesses.count(limits)
        account = await self._known(document.email)
        if account is None:
            kept = await self._services.passwords.hash(password)
            account = _new_account(document.email, document.name, kept)
        elif not await self._services.passwords.matches(password, account.password_hash):
            await self._note_failure(account.id)
            raise _wrong()
        async with self._session.begin():
            wanted = CreateOrganization(name=document.organization)
            organization = Organization(id=uuid4(), **wanted.model_dump())
            member = Member(
                id=uuid4(),
                organization_id=organization.id,
                name=account.name,
                email=account.email,
                role=Role.OWNER,
                status=MemberStatus.ACTIVE,
                presence=Presence.OFFLINE,
                account_id=account.id,
                created_at=datetime.now(UTC),
            )
            self._work_as(member)
            for row in (account, organization, member):  # the tables have no relationships that would tell the order
                self._session.add(row)
                with unique_or("There is an account for this address; send its password."):
                    await self._session.flush()
            signed_in = await self._begin(account, organization.id)
        await self._guesses.forgive(limits, wholly=True)
        return signed_in

    async def sign_in(self, email: str, password: str) -> tuple[str, SignedInView]:
        """A session for the right password, or ``wrong_credentials``: the same, and as slow, for unknown addresses."""
        limits = self._guesses.of_password(self._request, email)
        await self._guesses.count(limits)
        account = await self._known(email)
        kept = account.password_hash if account else None
        right = await self._services.passwords.matches(password, kept)
        if account is None or kept is None or not right:
            if account is not None:
                await self._note_failure(account.id)
            raise _wrong()
        renewed = await self._services.passwords.hash(password) if self._services.passwords.is_outdated(kept) else kept
        async with self._session.begin():
            # Unless the password was changed meanwhile.
            mine = select(Account).where(Account.id == account.id, Account.password_hash == kept).with_for_update()
            account = await self._session.scalar(mine.execution_options(populate_existing=True))
            if account is None:
                raise _wrong()
            account.password_hash = renewed
            signed_in = await self._begin(account, await organization_to_begin_with(self._session, account.id))
            await write_event(self._session, account.id, "session.signed_in", self._address)
        await self._guesses.forgive(limits, wholly=True)
        return signed_in

    async def accept(self, document: AcceptInvitation, signed_in: SessionCaller | None) -> tuple[str, SignedInView]:
        """Become the member somebody was invited to be; the session's token and its view."""
        limits = self._guesses.of_token(self._request)
        await self._guesses.count(limits)
        password = document.password.get_secret_value() if document.password else None
        kept = await self._services.passwords.hash(password) if password is not None and signed_in is None else None
        async with self._session.begin():
            token = token_hash(document.token.get_secret_value(), self._services)
            invitation, member = await find_open(self._session, token)
            self._work_as(member)
            account = await find_account(self._session, member.email, lock=True)
            if signed_in is not None and signed_in.email != member.email:
                raise Problem("other_account", "You are signed in with another address than the one that was invited.")
            if account is None:
                if password is None or document.name is None:
                    raise Problem("invalid_request", "Send name and password; there is no account for this address.")
                check_password(password, member.email)
                account = _new_account(member.email, document.name, kept)
                self._session.add(account)
                await self._session.flush()
            elif signed_in is None:
                raise Problem("account_exists", "There is an account for this address; sign in, then accept.")
            account.email_verified_at = account.email_verified_at or datetime.now(UTC)
            await join(self._session, invitation, member, account)
            result = await self._begin(account, member.organization_id)
        await self._guesses.forgive(limits)
        return result

    async def sign_in_elsewhere(self, person: Person) -> tuple[str, SignedInView]:
        """A session for whom an OpenID Connect provider vouches, if they are a member or invited to be one.

        Who comes for the first time is known by their verified address. An account nobody has shown to own its address
        may have been made by somebody else in their name: its password and sessions end.
        """
        async with self._session.begin():
            account = await self._session.scalar(
                select(Account)
                .join(Identity, Identity.account_id == Account.id)
                .where(Identity.issuer == person.issuer, Identity.subject == person.subject)
                .with_for_update(of=Account)
            )
            if account is None:
                account = await self._link(person)
            organization_id = await organization_to_begin_with(self._session, account.id)
            if organization_id is None:
                raise _not_a_member()
            signed_in = await self._begin(account, organization_id)
            await write_event(self._session, account.id, "session.signed_in", self._address)
        return signed_in

    async def request_reset(self, email: str) -> None:
        """Mail a token if there is such an account; what is answered does not depend on it.

        Both ways commit one transaction that counts the try; how little is written more in one of them cannot be
        measured in the few tries there are.
        """
        await self._guesses.count(self._guesses.of_resets(self._request, email))
        async with self._session.begin():
            account = await find_account(self._session, email)
            if account is None:
                return
            now, key = datetime.now(UTC), f"password-reset:{uuid4()}"
            token = mail_token(key, self._services.settings.secret_key.get_secret_value())
            self._session.add(
                PasswordReset(
                    token_hash=self._reset_hash(token),
                    account_id=account.id,
                    created_at=now,
                    expires_at=now + RESET_LASTS,
                )
            )
            await write_event(self._session, account.id, "password.reset_requested", self._address)
            web_url = self._services.settings.web_url
            text = (
                "Somebody, probably you, has asked to set a new password for Baton.\n\n"
                "Set it here, within an hour:\n"
                f"{web_url}/password-reset#token={TOKEN_GOES_HERE}\n\n"
                "If it was not you, you need not do anything: the password stays as it is.\n"
            )
            await send_mail(
                self._session,
                key=key,
                to=account.email,
                subject="Set a new password",
                text=text,
                html=as_html(text, web_url),
            )

    async def confirm_reset(self, token: str, password: str) -> None:
        """Set the new password, once for a token, and end every session of the account."""
        limits = self._guesses.of_token(self._request)
        await self._guesses.count(limits)
        kept = await self._services.passwords.hash(password)
        async with self._session.begin():
            now = datetime.now(UTC)
            mine = PasswordReset.token_hash == self._reset_hash(token)
            reset = await self._session.scalar(select(PasswordReset).where(mine).with_for_update())
            if reset is None or reset.used_at or reset.expires_at <= now:
                raise Problem("invalid_token", "This link was used or is too old; ask for another.")
            account = await self._session.get_one(Account, reset.account_id, with_for_update=True)
            check_password(password, account.email)
            await self._set_password(account, kept)
            account.email_verified_at = account.email_verified_at or now
            # All that were mailed: an older one in a mailbox must not work any more.
            others = update(PasswordReset).where(
                PasswordReset.account_id == account.id, PasswordReset.used_at.is_(None)
            )
            await self._session.execute(others.values(used_at=now))
            await write_event(self._session, account.id, "password.reset", self._address)
        # Who can read the mail has shown to be the one whose failures these were.
        await self._guesses.forgive(self._guesses.of_password(self._request, account.email)[:1], wholly=True)
        await self._guesses.forgive(limits)

    async def change_password(self, signed_in: SessionCaller, current: str, password: str) -> None:
        """Set another password and end the other sessions of the account."""
        check_password(password, signed_in.email)
        limits = self._guesses.of_password(self._request, signed_in.email)
        await self._guesses.count(limits)
        async with self._services.reads() as reading:
            before = await reading.scalar(select(Account.password_hash).where(Account.id == signed_in.account_id))
        if not await self._services.passwords.matches(current, before):
            await self._note_failure(signed_in.account_id)
            raise _wrong()
        kept = await self._services.passwords.hash(password)
        async with self._session.begin():
            account = await self._session.get_one(Account, signed_in.account_id, with_for_update=True)
            await self._set_password(account, kept, but=signed_in.session_id)
            await write_event(self._session, account.id, "password.changed", self._address)
        await self._guesses.forgive(limits, wholly=True)

    async def view(self, account: Account | SessionCaller, organization_id: UUID | None) -> SignedInView:
        """Who is signed in and where they may work."""
        if isinstance(account, SessionCaller):
            shown = AccountView(id=account.account_id, email=account.email, name=account.account_name)
        else:
            shown = AccountView.model_validate(account)
        mine = [MembershipView.model_validate(each) for each in await memberships(self._session, shown.id)]
        current = next((each for each in mine if each.organization_id == organization_id), None)
        return SignedInView(account=shown, current=current, memberships=mine)

    async def _begin(self, account: Account, organization_id: UUID | None) -> tuple[str, SignedInView]:
        settings = self._services.settings
        token = await begin_session(self._session, settings, self._request, account.id, organization_id)
        return token, await self.view(account, organization_id)

    async def _known(self, email: str) -> Account | None:
        """The account of the address, out of any transaction: passwords take long to compare."""
        async with self._services.reads() as reading:
            return await find_account(reading, email)

    async def _check_open(self) -> None:
        state = self._services.settings.sign_up
        async with self._services.reads() as reading:
            anybody = await reading.scalar(select(Organization.id).limit(1)) is not None
        if state == "closed" or (state == "first" and anybody):
            raise Problem("sign_up_closed", "Ask an administrator of your organization for an invitation.")

    async def _link(self, person: Person) -> Account:
        """The account of somebody who comes for the first time, made if need be, and its memberships."""
        members = []
        if person.email is not None:
            found = select(Member).where(Member.email == person.email, Member.status != MemberStatus.DISABLED)
            members = list(await self._session.scalars(found.order_by(Member.created_at).with_for_update()))
        if not members or person.email is None:
            raise _not_a_member()
        now, account = datetime.now(UTC), await find_account(self._session, person.email, lock=True)
        if account is None:
            account = _new_account(person.email, person.name or members[0].name, None)
            self._session.add(account)
            await self._session.flush()
        elif account.email_verified_at is None:
            await self._set_password(account, None)
        account.email_verified_at = account.email_verified_at or now
        self._session.add(Identity(issuer=person.issuer, subject=person.subject, account_id=account.id, created_at=now))
        for member in members:
            await self._join_without_token(member, account, now)
        await self._session.flush()
        return account

    async def _join_without_token(self, member: Member, account: Account, now: datetime) -> None:
        """The provider has verified the address the invitation went to, which is what its token would show."""
        self._work_as(member)
        invited = select(Invitation).where(
            Invitation.member_id == member.id, Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None)
        )
        for invitation in await self._session.scalars(invited.with_for_update()):
            if now < invitation.expires_at:
                await join(self._session, invitation, member, account)
        if member.status == MemberStatus.ACTIVE:
            member.account_id = account.id

    async def _set_password(self, account: Account, kept: str | None, but: UUID | None = None) -> None:
        account.password_hash = kept
        mine = delete(AccountSession).where(AccountSession.account_id == account.id)
        await self._session.execute(mine if but is None else mine.where(AccountSession.id != but))
        await access_ended(self._session)
        await self._session.flush()

    async def _note_failure(self, account_id: UUID) -> None:
        async with self._session.begin():
            await write_event(self._session, account_id, "session.sign_in_failed", self._address)

    def _work_as(self, member: Member) -> None:
        """What is changed from here on is the member's own doing."""
        actor = Actor(kind=ActorKind.MEMBER, id=member.id, name=member.name)
        origin = Origin(member.organization_id, actor, address=self._address)
        audit_by(self._session, lambda: origin)

    def _reset_hash(self, token: str) -> bytes:
        return hash_token(token, _PURPOSE, self._services.settings.secret_key)


def _new_account(email: str, name: str, password_hash: str | None) -> Account:
    return Account(id=uuid4(), email=email, name=name, password_hash=password_hash, created_at=datetime.now(UTC))


def _wrong() -> Problem:
    return Problem("wrong_credentials", "There is no account with this address and password.")


def _not_a_member() -> Problem:
    return Problem("sign_in_refused", "No organization has a member with your verified address; ask for an invitation.")
