using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <content>What a gateway does about slots that are elsewhere, or on their way (docs/handoff.md, "For gateways").</content>
public sealed partial class SimulatedGateway
{
    // The slot is not there, or not now. A shard that knows where it went is believed at once.
    private void Moved(WriteCourse course, in CommandResult result)
    {
        _world.Count(result.Code == ResultCode.SlotMoving ? "slot moving" : "not owner");
        var hint = MovedHint.Of(in result);
        if (hint is { } there)
        {
            _routes.Learn(Keys.Bytes(course.Request.Key), there);
            if (course is { IsInDoubt: true, Command.Once: Once.InSession once })
            {
                // If an attempt was executed, its result went along, under the group that opened the session.
                _world.Count("write in doubt follows its slot");
                course.Command = course.Command with { Once = once with { Origin = once.Origin == default ? _routes.GroupOf(course.Shard) : once.Origin } };
                course.Shard = there.Shard;
            }
        }
        else if (course is { IsInDoubt: true, Command.Once: Once.InSession { Origin.Value: 0 } } && result.Code == ResultCode.NotOwner)
        {
            NeverThere(course);
        }

        if (course.Command.Once is Once.InSession && MovedHint.Ahead(in result) is { } ahead)
        {
            GetReady(ahead.Shard);
        }

        if (!course.IsInDoubt)
        {
            Rename(course);
        }

        Again(course, soon: hint is not null);
    }

    // A shard that never had the slot can't have executed the write, but an attempt might still be under way to it, should the slot come there.
    // So its session is closed there, once its other writes are answered; if the shard still says so after that, the write begins anew.
    private void NeverThere(WriteCourse course)
    {
        if (course.IsClosed)
        {
            _world.Count("write in doubt begins anew");
            course.IsInDoubt = course.IsClosed = false;
            return;
        }

        if (!course.IsLeaving)
        {
            course.IsLeaving = true;
            course.Sessions!.Forget(course.Session!);
            course.Session!.Leaving++;
        }

        if (!course.Session!.MayClose || course.IsClosing)
        {
            return;
        }

        course.IsClosing = true;
        var session = course.Session;
        var node = _workload.LeaderHint(course.Shard) ?? _chance.Pick(_world.Nodes);
        _asking.Ask($"g{_number}", "close session", course.Shard, node, null, Command.CloseSession(session.Id), result =>
        {
            course.IsClosing = false;
            course.IsClosed |= course.Session == session && result?.Code is ResultCode.Ok or ResultCode.SessionExpired;
        });
    }

    // The slot's next owner will be asked soon, and the first write to a shard waits for a session there.
    private void GetReady(ShardId shard)
    {
        var sessions = SessionsOf(shard);
        if (sessions.IsEmpty && sessions.BeginOpening())
        {
            _world.Count("session opened ahead");
            Open(sessions, shard);
        }
    }
}
