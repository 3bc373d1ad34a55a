using Flotilla.Linearizability;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <summary>
/// What stands between clients and nodes: carries each operation to an end, by the table of docs/sessions.md ("Gateways"). It
/// reaches every node even where nodes don't reach each other: that is what makes stale leaders dangerous. A plain write is
/// tried again only if it was certainly not proposed. One that is named, in a session of this gateway or by a key of its
/// client, is sent again through any node while nobody knows what became of it, also while an earlier attempt still waits
/// somewhere; and all answers that any attempt ever gets must be one.
/// </summary>
public sealed partial class SimulatedGateway
{
    /// <summary>After so many microseconds nothing is tried again, and after <see cref="Asking.LongestUs"/> more everything has ended.</summary>
    private const long GiveUpUs = 3_000_000;
    private const long GiveUpNamedUs = 4_500_000;

    private readonly World _world;
    private readonly Workload _workload;
    private readonly Chance _chance;
    private readonly int _number;
    private readonly Asking _asking;
    private readonly Routes _routes;
    private SortedDictionary<ShardId, GatewaySessions> _sessions = [];
    private int _life;

    /// <summary>A gateway without sessions.</summary>
    public SimulatedGateway(World world, Workload workload, int number, Chance chance)
    {
        _world = world;
        _workload = workload;
        _chance = chance;
        _number = number;
        _asking = new Asking(world, workload, chance.Fork());
        _routes = new Routes(world, world.Options.Moves ? chance.Fork() : new Chance(0), number);
    }

    /// <summary>Carries out one operation, and says how it ended; null for "nobody knows". The first attempt goes to <paramref name="first"/>, if given.</summary>
    public void Carry(ClientRequest request, Action<CommandResult?> done, SimulatedNode? first = null)
    {
        var course = new WriteCourse(request, done)
        {
            Shard = _world.OwnerOf(Keys.Bytes(request.Key)),
            Command = request.Kind == OperationKind.Get ? default : request.ToCommand(),
            NeedsSession = request.Naming == Naming.Session,
            GiveUpAtUs = request.StartUs + (request.Naming == Naming.Plain ? GiveUpUs : GiveUpNamedUs),
            Life = _life,
        };
        if (request.Naming == Naming.Key)
        {
            // Some come with an end, which may be over before their attempts are: by the log time, wherever that leaps to.
            var untilMs = request.Recorded && _chance.Hit(0.5) ? Time.NodeClock.EpochMs + (_world.Scheduler.NowUs / 1000) + _chance.Between(50, 5_000) : 0;
            course.Command = course.Command with { Once = request.ToKey() with { UntilMs = untilMs } };
        }

        Attempt(course, first);
    }

    /// <summary>The process ends and another takes its place: what its sessions had under way nobody knows any more, and what has a key goes on elsewhere.</summary>
    public void Restart()
    {
        _world.Count("gateway restart");
        _life++;
        _sessions = [];
    }

    private void Attempt(WriteCourse course, SimulatedNode? first = null)
    {
        if (course.Ended)
        {
            return;
        }

        if (course.Life != _life && course.Session is not null)
        {
            End(course, null);
            return;
        }

        Route(course);
        if (course.NeedsSession && !TakeSession(course))
        {
            return;
        }

        var number = ++course.Attempts;
        var request = course.Request;
        var node = first ?? (request.Kind == OperationKind.Get && number == 1 && _chance.Hit(0.4) ? _chance.Pick(_world.Nodes) : _workload.LeaderHint(course.Shard) ?? _chance.Pick(_world.Nodes));
        var isGet = request.Kind == OperationKind.Get;
        if (course.IsInDoubt)
        {
            _world.Count(course.Command.Once is Once.ByKey ? "retry under a key" : "retry in a session");
        }

        _asking.Ask($"c{request.Client}", $"{request.Kind} {request.Key} {Keys.Short(request.Value)} {course.Command.Once}", course.Shard, node, isGet ? Keys.Bytes(request.Key) : null, course.Command, result =>
        {
            if (!isGet)
            {
                Note(course, result);
            }

            Answered(course, number, result);
        });

        // A connection may break at any time, and what it carried goes on.
        if (course.Command.Once is not null && _chance.Hit(!_world.AnswersGetLost || _workload.Stopping ? 0 : Keys.IsMoving(_world, request.Key) ? 0.5 : 0.25))
        {
            _world.Scheduler.After(_chance.Hit(0.7) ? _chance.Between(500, 30_000) : _chance.Between(30_000, 1_000_000), () => Answered(course, number, null));
        }
    }

    // A session's results stay with its shard, and go with the key's slot: so do its retries, by hints alone. All else goes by what is known.
    private void Route(WriteCourse course)
    {
        if (course is { IsInDoubt: true, Session: not null })
        {
            return;
        }

        var shard = _routes.Of(Keys.Bytes(course.Request.Key));
        if (shard != course.Shard)
        {
            Rename(course);
            course.Shard = shard;
        }
    }

    // Nothing was executed under this name, so it may have another one, of another shard perhaps.
    private static void Rename(WriteCourse course)
    {
        if (course.Session is not null)
        {
            Leave(course);
            course.NeedsSession = true;
        }
    }

    private GatewaySessions SessionsOf(ShardId shard)
    {
        if (!_sessions.TryGetValue(shard, out var sessions))
        {
            _sessions.Add(shard, sessions = new GatewaySessions(_world.Scheduler, _chance.Fork(), _world.Options.Replica.Sessions.Window));
        }

        return sessions;
    }

    /// <summary>Gives the write its place in a session. False if it has to wait for one; it is tried again then.</summary>
    private bool TakeSession(WriteCourse course)
    {
        var sessions = SessionsOf(course.Shard);
        if (sessions.Take(out var goesPlain) is { } place)
        {
            (course.Sessions, course.Session) = (sessions, place.Session);
            course.Command = course.Command with { Once = place.Once };
            course.Life = _life;
            course.NeedsSession = false;
            return true;
        }

        if (goesPlain)
        {
            _world.Count("write without room for a session");
            course.NeedsSession = false;
            return true;
        }

        if (_world.Scheduler.NowUs >= course.GiveUpAtUs)
        {
            End(course, CommandResult.Of(ResultCode.NoQuorum));
            return false;
        }

        sessions.Await(() => Again(course));
        if (sessions.BeginOpening())
        {
            Open(sessions, course.Shard);
        }

        return false;
    }

    private void Open(GatewaySessions sessions, ShardId shard)
    {
        var open = true;
        var node = _workload.LeaderHint(shard) ?? _chance.Pick(_world.Nodes);
        _asking.Ask($"g{_number}", "open session", shard, node, null, Command.OpenSession(), result =>
        {
            if (!open)
            {
                return;
            }

            open = false;
            if (result?.Code == ResultCode.Ok)
            {
                _world.Count("session");
            }

            sessions.Opened(result is { Code: ResultCode.Ok } opened ? SessionId.Of(in opened) : null, result?.Code == ResultCode.Overloaded);
        });
    }

    private void Answered(WriteCourse course, int number, CommandResult? result)
    {
        if (course.Ended || number != course.Attempts)
        {
            return;
        }

        var code = result?.Code ?? ResultCode.Indeterminate;
        if (IsResult(code))
        {
            End(course, result);
            return;
        }

        var isNamed = course.Command.Once is not null;
        var isUnclear = code == ResultCode.Indeterminate;
        if (isUnclear && !isNamed && course.Request.Kind != OperationKind.Get)
        {
            End(course, null);
            return;
        }

        if (code == ResultCode.KeyExpired)
        {
            // It was executed once or not at all; certainly not if no other attempt was made of it that might have been.
            _world.Count("key expired");
            End(course, course.IsInDoubt ? null : CommandResult.Of(ResultCode.NoQuorum));
            return;
        }

        if (code == ResultCode.SessionExpired)
        {
            _world.Count("session expired");
            if (course.IsInDoubt)
            {
                // It was executed once or not at all.
                End(course, null);
                return;
            }

            // Nothing was executed under this name, so it may have another one.
            course.Sessions!.Forget(course.Session!);
            Rename(course);
        }
        else if (code is ResultCode.NotOwner or ResultCode.SlotMoving)
        {
            Moved(course, result!.Value);
            return;
        }
        else if (isUnclear && isNamed)
        {
            course.IsInDoubt = true;
            if (course.Command.Once is Once.InSession once)
            {
                course.Command = course.Command with { Once = once with { IsRetry = true } };
            }
        }

        Again(course);
    }

    private void Again(WriteCourse course, bool soon = false)
    {
        if (_world.Scheduler.NowUs < course.GiveUpAtUs)
        {
            _world.Scheduler.After(soon ? _chance.Between(1, 1_000) : _chance.Between(1_000, 40_000), () => Attempt(course));
        }
        else
        {
            End(course, course.IsInDoubt ? null : CommandResult.Of(ResultCode.NoQuorum));
        }
    }

    private void End(WriteCourse course, CommandResult? result)
    {
        if (course.Ended)
        {
            return;
        }

        course.Ended = true;
        course.IsRefused = result is { } answer && !IsResult(answer.Code);
        if (course is { IsInDoubt: true, Result: not null })
        {
            _world.Count(course.Attempts > 2 ? "answered after retries" : "answered after a retry");
        }

        Leave(course);
        Note(course, null);
        course.Done(result);
    }

    private static void Leave(WriteCourse course)
    {
        if (course is { Sessions: { } sessions, Session: { } session, Command.Once: Once.InSession once })
        {
            session.Leaving -= course.IsLeaving ? 1 : 0;
            course.IsLeaving = course.IsClosed = false;
            course.Session = null;
            course.Command = course.Command with { Once = null };
            sessions.End(session, once.Sequence);
        }
    }

    /// <summary>Whatever any attempt answers, early or late: one write has one result, and none if it was refused (hazards 34 to 36).</summary>
    private static void Note(WriteCourse course, CommandResult? result)
    {
        if (course.Request is { Recorded: false, Naming: Naming.Key })
        {
            return; // Its key is soon over.
        }

        if (result is { Code: ResultCode.KeyReused })
        {
            throw new SimulationException($"{course.Request} is taken for another write under its key");
        }

        if (result is { } next && IsResult(next.Code))
        {
            if (course.Result is { } first && (first.Code != next.Code || first.Version != next.Version || !first.Value.Span.SequenceEqual(next.Value.Span)))
            {
                throw new SimulationException($"{course.Request} has two results, {first.Code} {first.Version} {Keys.Short(Keys.Text(first.Value))} and {next.Code} {next.Version} {Keys.Short(Keys.Text(next.Value))} (hazard 34)");
            }

            course.Result = result;
        }

        if (course is { IsRefused: true, Result: not null })
        {
            throw new SimulationException($"{course.Request} was refused, and yet executed (hazard 34)");
        }
    }

    private static bool IsResult(ResultCode code) => code is ResultCode.Ok or ResultCode.NotFound or ResultCode.VersionMismatch or ResultCode.BadRequest or ResultCode.KeyReused;
}
