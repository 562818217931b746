"""Alert: when somebody is to be told of a target, who, and what has come of it. Shares are 0..1, RTTs and durations seconds."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule. Each (target, agent) is judged by it on its own, or all agents of a target together with `quorum`."""

    name: str
    #: loss, rtt (SmokePing's patterns), matcher (SmokePing's matchers), threshold, deviation, or silent.
    type: str
    #: A pattern (`>0%,*12*,>0%`) or a matcher (`CheckLoss(l => 50, x => 5)`); "" for our own types.
    pattern: str = ""
    #: threshold, deviation: what is judged: loss, median, max, deviation or jitter.
    measure: str = "loss"
    #: threshold: raised while the measure lies above, or below. Share or seconds.
    above: float | None = None
    below: float | None = None
    #: deviation: raised beyond this many times the spread of the baseline, and the seconds the baseline spans.
    factor: float = 5.0
    baseline: float = 86400.0
    #: threshold, deviation, silent: for how many seconds on end before it is raised, and before it is cleared.
    wait: float = 0.0
    clear_wait: float = 0.0
    #: How many of a target's agents must agree; 0 judges each agent on its own.
    quorum: int = 0
    #: Tell when it is raised and when it is cleared, instead of at every round it holds. None: as `Alerting.edge`.
    edge: bool | None = None
    #: SmokePing's priority: once one has fired in an update, others that have a priority keep quiet. 0 has none.
    priority: int = 0
    #: Tell again every so many seconds while it lasts; 0 tells once.
    repeat: float = 0.0
    #: Addresses, `|program`, or names of receivers.
    to: tuple[str, ...] = ()
    comment: str = ""
    #: File with a mail template of its own.
    template: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where a notice goes: `type` is mail, program, webhook, slack or alertmanager."""

    name: str
    type: str
    #: webhook, slack, alertmanager: where to post. The file is read when posting, so a secret URL stays out of the settings.
    url: str = ""
    url_file: str = ""
    #: mail: addresses. program: the command line.
    to: tuple[str, ...] = ()
    command: str = ""
    #: Further HTTP headers.
    headers: dict[str, str] = field(default_factory=dict)
    #: webhook: file with the secret that signs what is posted.
    secret_file: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """How mail leaves: an SMTP server, or a sendmail program when no server is named."""

    #: HOST or HOST:PORT, tried in order.
    servers: tuple[str, ...] = ()
    user: str = ""
    password_file: str = ""
    #: As SmokePing's files hold it; a file is better.
    password: str = ""
    #: none, starttls or tls.
    security: str = "none"
    sendmail: str = "/usr/lib/sendmail"
    sender: str = ""
    #: Certificates to trust for starttls and tls; "" for the system's.
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """What holds for all alerts."""

    #: Told of every alert.
    to: tuple[str, ...] = ()
    #: "" for sane behaviour, "smokeping" for its exact quirks.
    compat: str = ""
    edge: bool = True
    template: str = ""
    mail: Mail = field(default_factory=Mail)
    receivers: dict[str, Receiver] = field(default_factory=dict)
    #: Base URL of the pages, for links in notices; "" leaves them out.
    url: str = ""
    #: HOST or HOST:PORT of the gateway for `snpp:` receivers.
    snpp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An alert that is raised, or was: since when, how bad, from where."""

    id: int
    alert: str
    target: str
    #: Name of the probe.
    probe: str
    #: Agents that see it.
    agents: tuple[str, ...]
    #: Nanoseconds UTC of the round that raised it, and of the one that cleared it, 0 while it is open.
    begun: int
    ended: int = 0
    #: Rounds in it so far, the worst loss and the worst median of them.
    rounds: int = 0
    worst_loss: float = 0.0
    worst_rtt: float = float("nan")
    #: "" when people are told; else why not: `parent:/path`, `silence:ID`, `priority:ALERT`, `late`.
    muted: str = ""
    #: How it stands, one sentence for people.
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A window in which nobody is told. Patterns are globs; "*" fits all."""

    id: int
    begin: int
    end: int
    target: str = "*"
    alert: str = "*"
    agent: str = "*"
    author: str = ""
    comment: str = ""
    created: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What receivers are told of one alert. `loss` and `rtt` are the judged history, oldest first, NaN for unknown."""

    incident: int
    alert: str
    #: raised, cleared or active.
    what: str
    target: str
    title: str
    host: str
    agents: tuple[str, ...]
    #: When the round it is about began, and when the incident began, nanoseconds UTC.
    time: int
    begun: int
    loss: tuple[float, ...] = ()
    rtt: tuple[float, ...] = ()
    #: The history reaches back to the start of measuring (SmokePing's `S`).
    from_start: bool = False
    pattern: str = ""
    comment: str = ""
    priority: int = 0
    edge: bool = True
    detail: str = ""
    #: Who is told, in this order: addresses, `|program`, names of receivers.
    to: tuple[str, ...] = ()
    template: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notice on its way to one receiver."""

    id: int
    incident: int
    receiver: str
    what: str
    created: int
    #: waiting, done or failed.
    state: str = "waiting"
    attempts: int = 0
    #: When it is tried next, or was delivered, nanoseconds UTC.
    time: int = 0
    error: str = ""
    #: What the receiver answered, or the program wrote.
    output: str = ""
    #: The same whenever it is tried: receivers tell repetitions by it.
    key: str = ""
