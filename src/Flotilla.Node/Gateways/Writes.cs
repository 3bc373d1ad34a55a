using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>
/// Carries a write to an end, so that it takes effect once (DESIGN section 4, RIFL): every plain write goes under a session
/// of this process, whose sequence names it for all its attempts; a write under an idempotency key has its name already.
/// Thread-safe.
/// </summary>
/// <remarks>
/// <para>Which answers are given. As long as every attempt was refused before it could be in a log, a refusal speaks of the
/// write as a whole. Once one attempt ended unclear the write is <em>in doubt</em>: what refuses a later attempt says nothing
/// about the earlier one, so from then on the only answers are what executing it came to (the shard keeps that under its
/// name) and <see cref="ResultCode.Indeterminate"/>. A write that a client sends again after an unclear end is in doubt from
/// the start.</para>
/// <para>Why sending again is safe. The shard executes a name once, and answers it with the same result until this process
/// has moved its mark past it, which it does only after the answer was given. An attempt that comes later still is
/// refused.</para>
/// <para>Why a write that the shard had no session for may begin anew. <see cref="ResultCode.SessionExpired"/> says that this
/// attempt executed nothing; if the write is not in doubt, no other one has.</para>
/// <para>Why a write in doubt may begin anew that was sent to a shard which never had its slot (of one that had it, the shard knows where it
/// went, and the write follows). That shard can't have executed it, but an attempt under way might still be, should the slot come
/// there. So its session is closed there first, once no other write needs it: from then on its log executes nothing under that name. If the
/// slot was never there up to an entry after that, which the next refusal says, then no attempt was executed or ever will be.</para>
/// <para>A write without a name (the shard has no room for sessions) has one unclear attempt at most, as plain writes
/// must.</para>
/// </remarks>
internal sealed class Writes : IDisposable
{
    /// <summary>
    /// What the clocks of two leaders of a shard may differ by before a key could be forgotten while its write is still sent
    /// again: the log time leaps by so much when leadership goes from the slower to the faster one.
    /// </summary>
    private const double ClockSkewMs = 50_000;

    private const string TooMany = "too many writes of this process wait for answers of the shard; nothing was written, try again a little later";
    private const string Forgotten = "an attempt ended without an answer, and the shard keeps its result no longer: it was written once or not at all";

    private readonly ConcurrentDictionary<ShardId, ShardSessions> _sessions = new();
    private readonly ITargets _targets;
    private readonly TimeSpan _openingTimeout;
    private readonly CancellationTokenSource _ended = new();

    /// <summary>No session is open yet.</summary>
    /// <param name="targets">Whom to ask.</param>
    /// <param name="openingTimeout">How long the opening of a session may take.</param>
    public Writes(ITargets targets, TimeSpan openingTimeout)
    {
        _targets = targets;
        _openingTimeout = openingTimeout;
        Ended = _ended.Token;
    }

    /// <summary>Calls are given up, because the process stops.</summary>
    public CancellationToken Ended { get; }

    /// <summary>Attempts until there is an answer, or time is up.</summary>
    /// <param name="ask">The write; a plain one, under an idempotency key, or the opening or closing of a session.</param>
    /// <param name="inDoubt">An earlier attempt, by another gateway, may have been executed.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Outcome> RunAsync(Ask ask, bool inDoubt)
    {
        var doubt = inDoubt ? "the write was sent before, and its answer is not known" : null;
        var needsSession = ask.Command.Once is null;
        var isBound = ask.Shard != default;
        if (ask.Command.Once is Once.ByKey byKey)
        {
            ask = ask with { Command = ask.Command with { Once = ForTheCall(byKey, ask.Deadline) } };
        }

        Course? course = null;
        Ticket ticket = default;
        GroupId group = default;
        Closing? closing = null;
        try
        {
            while (true)
            {
                var target = _targets.Choose(course?.Next(ask) ?? ask, course?.Hint ?? default, course?.Attempts ?? 0);
                if (target.IsReachable)
                {
                    if (doubt is null && ticket.Session is { } named && named.Shard != target.Route!.Shard)
                    {
                        // The key's slot has gone to another shard since the last attempt, to which the name says nothing, or is that
                        // of somebody else's session. Nothing was executed under it.
                        ticket.End();
                        ticket = default;
                        ask = ask with { Command = ask.Command with { Once = null } };
                        needsSession = true;
                    }

                    if (needsSession)
                    {
                        var sessions = SessionsOf(target.Route!.Shard);
                        var admission = sessions.TryTake(out ticket, out var opening);
                        if (admission == Admission.Opening)
                        {
                            // The target may be another one by the time that the session is open, or before.
                            await Course.UntilAsync(Task.WhenAny(opening, target.TableNews), ask.Deadline.MsSince(NodeClock.Now), Ended);
                            if (NodeClock.Now >= ask.Deadline || Ended.IsCancellationRequested)
                            {
                                return Outcome.Of(ResultCode.NoQuorum, $"time ran out before a session was open at shard {target.Route.Shard}; nothing was written: {sessions.LastRefusal ?? "it did not answer"}", target.Node);
                            }

                            continue;
                        }

                        if (admission == Admission.Full)
                        {
                            return Outcome.Of(ResultCode.Overloaded, TooMany, target.Node);
                        }

                        needsSession = false;
                        group = target.Route.Group;
                        ask = ask with { Command = ask.Command with { Once = ticket.Once } };
                    }

                    var outcome = await _targets.AskAsync(target, course?.Next(ask) ?? ask);
                    GetReady(in outcome, in ask);
                    switch (Judge(in outcome, in ask, ref doubt))
                    {
                        case Verdict.Answer:
                            return outcome;
                        case Verdict.InDoubt:
                            ask = AsRetry(ask, ticket);
                            NodeMetrics.WriteRetries.Add(1);
                            break;
                        case Verdict.Anew:
                            // Nothing was executed under this name: another session, perhaps of another shard.
                            if (outcome.Code == ResultCode.SessionExpired)
                            {
                                SessionsOf(ticket.Session!.Shard).Forget(ticket.Session);
                            }

                            closing?.Dispose();
                            closing = null;
                            ticket.End();
                            ticket = default;
                            ask = ask with { Shard = isBound ? ask.Shard : default, Command = ask.Command with { Once = null } };
                            needsSession = true;
                            break;
                        case Verdict.Lost:
                            return Outcome.Of(ResultCode.Indeterminate, $"{Forgotten}: {doubt}", outcome.Leader);
                        case Verdict.NeverThere when closing is { IsDone: true }:
                            doubt = null;
                            goto case Verdict.Anew;
                        case Verdict.NeverThere:
                            closing ??= new Closing(ticket.Session!, group, SessionsOf(ticket.Session!.Shard));
                            await closing.TryAsync(this, target.Route!.Group, ask.Deadline);
                            break;
                        default:
                            ask = AfterMove(ask, target, outcome, doubt is not null);
                            break;
                    }

                    (course ??= new Course()).Note(target, outcome);
                    if (!ask.Forward && _targets.Choose(course.Next(ask), default, course.Attempts) is { Place: Place.Elsewhere } elsewhere)
                    {
                        target = elsewhere;
                    }
                }

                if (target.Place == Place.Elsewhere)
                {
                    // A hint where to go is a refusal, too, and a client that got one would believe that nothing was written.
                    return doubt is null ? Outcome.Of(ResultCode.NotLeader, target.Why, target.Node) : Unknown(doubt, target.Node);
                }

                if (target.Place == Place.Nowhere)
                {
                    (course ??= new Course()).NoteNowhere(target);
                }

                if (!await course!.PauseAsync(ask.Deadline, Ended))
                {
                    return doubt is null ? course.OutOfTime() : Unknown(doubt, target.Node);
                }
            }
        }
        finally
        {
            closing?.Dispose();
            ticket.End();
        }
    }

    /// <summary>Closes the sessions, so that the shards need not keep them until they expire. Writes that come later go plain. At most for <paramref name="patience"/>; those that are not closed by then expire.</summary>
    public async Task CloseSessionsAsync(TimeSpan patience)
    {
        var deadline = NodeClock.Now.PlusMs(patience.TotalMilliseconds);
        var closings = _sessions.Values.SelectMany(static sessions => sessions.Close())
            .Select(session => RunAsync(new Ask(CallKind.Command, Command.CloseSession(session.Id), default, session.Shard, Stale: false, Forward: true, deadline), inDoubt: false).AsTask());
        await Task.WhenAll(closings);
    }

    /// <summary>Gives up every call that has no answer at its next pause: no attempt will get one any more.</summary>
    public void Dispose() => _ended.Cancel();

    private enum Verdict : byte
    {
        /// <summary>That is the answer.</summary>
        Answer,

        /// <summary>Try the same again.</summary>
        Again,

        /// <summary>It was not executed, and needs another name.</summary>
        Anew,

        /// <summary>From now on it is in doubt: try the same again, and say that it is a retry.</summary>
        InDoubt,

        /// <summary>It is in doubt, and the shard that was asked never had its slot.</summary>
        NeverThere,

        /// <summary>It is in doubt and will stay so.</summary>
        Lost,
    }

    private static Verdict Judge(in Outcome outcome, in Ask ask, ref string? doubt)
    {
        if (outcome.IsResult)
        {
            return Verdict.Answer;
        }

        switch (ask.Command.Once)
        {
            case Once.Opening or Once.Closing:
                // To open another one or to close it again does no harm.
                return outcome.MayTryAgain || outcome.Code == ResultCode.Indeterminate ? Verdict.Again : Verdict.Answer;
            case null:
                return outcome.MayTryAgain ? Verdict.Again : Verdict.Answer;
            default:
                break;
        }

        if (outcome.Code == ResultCode.Indeterminate)
        {
            doubt ??= outcome.Detail ?? "an attempt ended without an answer";
            return Verdict.InDoubt;
        }

        if (doubt is not null)
        {
            return outcome.Code is ResultCode.SessionExpired or ResultCode.KeyExpired ? Verdict.Lost
                : outcome.Code == ResultCode.NotOwner && MovedHint.Of(outcome.Result) is null && ask.Command.Once is Once.InSession { Origin.Value: 0 } ? Verdict.NeverThere
                : Verdict.Again;
        }

        return outcome.Code switch
        {
            ResultCode.SessionExpired => Verdict.Anew,
            ResultCode.NotOwner or ResultCode.SlotMoving when ask.Command.Once is Once.InSession => Verdict.Anew,
            _ => outcome.MayTryAgain ? Verdict.Again : Verdict.Answer,
        };
    }

    /// <summary>A key without an end must outlive the attempts of this call: what is sent again once its life is over would be executed again.</summary>
    private static Once.ByKey ForTheCall(Once.ByKey once, Instant deadline)
    {
        var neededMs = (long)(Math.Max(0, deadline.MsSince(NodeClock.Now)) + ClockSkewMs);
        return once.UntilMs > 0 || once.Terms.LifeMs is 0 || once.Terms.LifeMs >= neededMs ? once : once with { Terms = once.Terms with { LifeMs = neededMs } };
    }

    /// <summary>A session's results stay with its shard, so its retries do, too; those of an idempotency key go with the key's slot.</summary>
    private static Ask AsRetry(in Ask ask, in Ticket ticket) => ticket.Session is { } session
        ? ask with { Shard = ask.Shard == default ? session.Shard : ask.Shard, Command = ask.Command with { Once = ((Once.InSession)ask.Command.Once!) with { IsRetry = true } } }
        : ask;

    /// <summary>
    /// A write in doubt whose slot has moved meanwhile: if an attempt was executed, its result went along, under the group that opened the
    /// session. Each shard on the way names the next, which got the slot later, so this ends.
    /// </summary>
    private static Ask AfterMove(in Ask ask, in Target target, in Outcome outcome, bool inDoubt)
    {
        if (!inDoubt || ask.Command.Once is not Once.InSession once || MovedHint.Of(outcome.Result) is not { } moved)
        {
            return ask;
        }

        var origin = once.Origin == default ? target.Route!.Group : once.Origin;
        return ask with { Shard = moved.Shard, Command = ask.Command with { Once = once with { Origin = origin } } };
    }

    /// <summary>The slot's next owner will be asked in some milliseconds, and the first write to a shard waits for a session there.</summary>
    private void GetReady(in Outcome outcome, in Ask ask)
    {
        if (ask.Command.Once is Once.InSession && MovedHint.Ahead(outcome.Result) is { } ahead)
        {
            SessionsOf(ahead.Shard).GetReady();
        }
    }

    private static Outcome Unknown(string doubt, NodeId leader) => Outcome.Of(ResultCode.Indeterminate, doubt, leader);

    /// <summary>Closes the session of a write in doubt at a shard that never had its slot, once all other writes of the session are answered.</summary>
    private sealed class Closing : IDisposable
    {
        private readonly WriteSession _session;
        private readonly GroupId _group;

        public Closing(WriteSession session, GroupId group, ShardSessions sessions)
        {
            _session = session;
            _group = group;
            sessions.Forget(session);
            session.WaitForClose(1);
        }

        /// <summary>The shard's log executes nothing more under it.</summary>
        public bool IsDone { get; private set; }

        public async ValueTask TryAsync(Writes writes, GroupId group, Instant deadline)
        {
            // Another group under the number knows nothing of the session.
            if (group == _group && _session.MayClose)
            {
                var ask = new Ask(CallKind.Command, Command.CloseSession(_session.Id), default, _session.Shard, Stale: false, Forward: true, deadline);
                IsDone = (await writes.RunAsync(ask, inDoubt: false)).Code is ResultCode.Ok or ResultCode.SessionExpired;
            }
        }

        public void Dispose() => _session.WaitForClose(-1);
    }

    private ShardSessions SessionsOf(ShardId shard) => _sessions.TryGetValue(shard, out var sessions) ? sessions : _sessions.GetOrAdd(shard, NewSessions);

    private ShardSessions NewSessions(ShardId shard) => new(shard, OpenAsync);

    private async Task<Outcome> OpenAsync(ShardId shard) => await RunAsync(
        new Ask(CallKind.Command, Command.OpenSession(), default, shard, Stale: false, Forward: true, NodeClock.Now.PlusMs(_openingTimeout.TotalMilliseconds)), inDoubt: false);
}
