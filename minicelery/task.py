"""A registered task: callable as the function it wraps, and able to be sent."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from . import codec, uniqueness
from .context import TaskContext
from .errors import InvalidArguments, InvalidInput
from .fairness import fair_fields
from .message import Message
from .options import NOTHING, CallOptions, TaskSettings, check_call_options, more_of, with_expiry
from .result import AsyncResult

P = ParamSpec("P")
R = TypeVar("R")


_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)

_NO_OPTIONS = CallOptions()
Submit = Callable[[Message], AsyncResult[Any]]


class Task(Generic[P, R]):
    """Made by ``@app.task``. Calling it runs the function right here; ``delay`` and ``apply_async`` send it.

    A bound task (``bind=True``) is called by the worker with its ``TaskContext`` first; callers leave it out.
    """

    def __init__(
        self,
        function: Callable[..., R],
        settings: TaskSettings,
        submit: Submit,
        new_id: Callable[[], str],
        bind: bool = False,
    ) -> None:
        self.function = function
        self.bind = bind
        self.settings = settings
        self.name = settings.name
        self.policy = settings.policy
        self.time_limits = settings.time_limits
        self.is_isolated = settings.is_isolated
        self.max_memory_mb = settings.max_memory_mb
        self.ignores_result = settings.ignore_result
        self._more = more_of(with_expiry(_NO_OPTIONS, settings.expires), settings.priority)
        self._is_plain = not (settings.limits or settings.once or settings.fair_key)
        self._submit = submit
        self._new_id = new_id
        self._signature = _callers_signature(function, bind)
        self._bare_counts = _bare_counts(self._signature)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<Task {self.name}{self._signature}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now. A bound task gets a context that reports to nobody."""
        if not self.bind:
            return self.function(*args, **kwargs)
        return self.function(self._local_context(), *args, **kwargs)

    def run(self, context: Callable[[], TaskContext], args: list[Any], kwargs: dict[str, Any]) -> R:
        """Run the function for a worker. Only a bound task needs the context."""
        return self.function(context(), *args, **kwargs) if self.bind else self.function(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the call; returns as soon as Redis has it."""
        return self._submit(self.message(args, kwargs, {}))

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """Send the call with options, see ``CallOptions``: ``countdown`` (seconds), ``eta``, ``expires``, ``queue``,
        ``priority``, ``max_retries``, ``time_limit``, ``soft_time_limit``, ``ignore_result``, ``tags``,
        ``fair_key``, ``task_id``, and ``unique_for`` and its kin."""
        return self._submit(self.message(() if args is None else args, kwargs or {}, options))

    def s(self, *args: P.args, **kwargs: P.kwargs) -> "Signature[R]":
        """The call, not yet sent."""
        return Signature(self, args, kwargs, {})

    def message(self, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Message:
        """The checked message of a call. Raises an ``InvalidInput`` that names the field; sends nothing."""
        args, kwargs = _listed(args), _named(kwargs)
        chosen = check_call_options(options) if options else _NO_OPTIONS
        self._check_arguments(args, kwargs)
        settings, given, named = self.settings, codec.encode(args, "/args"), codec.encode(kwargs, "/kwargs")
        if self._is_plain and not chosen:
            queue, retries = settings.queue, settings.max_retries
            return Message(self._new_id(), self.name, given, named, queue, retries, None, None, self._more)
        settings.time_limits.replaced(chosen)  # those of the call must go with those of the task
        chosen = with_expiry(chosen, settings.expires)
        gates = settings.limits.gates(args, kwargs) if settings.limits else ""
        fair = fair_fields(settings.fair_key, chosen.get("fair_key"), args, kwargs)
        eta, most = chosen.get("eta"), chosen.get("max_retries")
        return Message(
            id=chosen.get("task_id") or self._new_id(),
            name=self.name,
            args=given,
            kwargs=named,
            queue=chosen.get("queue") or settings.queue,
            max_retries=settings.max_retries if most is None else most,
            delay=chosen.get("countdown") or None,
            due=eta.timestamp() if eta else None,
            more=more_of(chosen, settings.priority, gates, {**self._once(chosen, args, kwargs), **fair}),
        )

    def _once(self, chosen: CallOptions, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, str]:
        """What makes the call the same as another one. ``add(1, y=2)`` is ``add(1, 2)``."""
        once = uniqueness.once_of(chosen, self.settings.once)
        if not once:
            return NOTHING
        call = codec.canonical(self._signature.bind(*args, **kwargs).arguments)
        key = chosen.get("unique_key")
        if key is None and self.settings.unique_key:
            key = uniqueness.key_by(self.settings.unique_key, *args, **kwargs)
        return uniqueness.fields_of(once, self.name, f"call:{call}" if key is None else f"key:{key}", call)

    def _check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if not kwargs and len(args) in self._bare_counts:
            return  # binding takes as long as all else that is done here
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            pointer, reason = _misfit(self._signature, args, kwargs) or ("/args", str(error))
            raise InvalidArguments(f"{self.name}{self._signature} can't be called so: {reason}", pointer) from error

    def _local_context(self) -> TaskContext:
        settings = self.settings
        return TaskContext(self._new_id(), self.name, settings.queue, "", 0, settings.max_retries, _report_to_nobody)


@dataclass(slots=True)  # not frozen, which would take it three times as long to make
class Signature(Generic[R]):
    """A call that is not yet sent: it can be handed around, sent once or often, alone or with others."""

    task: Task[..., R]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]

    def set(self, **options: Unpack[CallOptions]) -> "Signature[R]":
        """The same call with further options."""
        return Signature(self.task, self.args, self.kwargs, {**self.options, **check_call_options(options)})

    def delay(self) -> AsyncResult[R]:
        return self.task.apply_async(self.args, self.kwargs, **self.options)

    def message(self) -> Message:
        return self.task.message(self.args, self.kwargs, self.options)


def _listed(args: object) -> Sequence[Any]:
    if type(args) is tuple or type(args) is list:
        return args
    if isinstance(args, (str, bytes, Mapping)) or not isinstance(args, Iterable):
        raise InvalidInput(f"{args!r:.80} is not a list of arguments; give a list or a tuple", "/args")
    return list(args)


def _named(kwargs: object) -> dict[str, Any]:
    if kwargs == {}:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise InvalidInput(f"{kwargs!r:.80} does not name arguments; give a dict with the names as keys", "/kwargs")
    return dict(kwargs)


def _report_to_nobody(*_: object) -> bool:
    return True


def _callers_signature(function: Callable[..., Any], bind: bool) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if bind and not (parameters and parameters[0].kind in _POSITIONAL):
        raise InvalidInput(f"{function!r} has no first parameter for the context; add one, or leave out bind=True")
    return signature.replace(parameters=parameters[int(bind) :])


def _bare_counts(signature: inspect.Signature) -> range:
    """How many arguments a call without keywords may have."""
    least = most = 0
    for parameter in signature.parameters.values():
        is_needed = parameter.default is parameter.empty
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            most = sys.maxsize - 1
        elif parameter.kind in _POSITIONAL:
            least, most = least + is_needed, most + 1
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and is_needed:
            return range(0)
    return range(least, most + 1)


def _misfit(signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str] | None:
    """The field that is too many and the reason. None: something is missing."""
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    positional = [name for name, parameter in signature.parameters.items() if parameter.kind in _POSITIONAL[:2]]
    if len(args) > len(positional) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        return f"/args/{len(positional)}", "too many positional arguments"
    for name in kwargs:
        if name in positional[: len(args)]:
            return f"/kwargs/{name}", f"multiple values for argument '{name}'"
        if name not in signature.parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
            return f"/kwargs/{name}", f"unexpected argument '{name}'"
    return None
