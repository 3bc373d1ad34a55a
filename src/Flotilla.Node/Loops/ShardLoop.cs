using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Loops;

/// <summary>
/// Steps several replicas on one thread of its own (elections and heartbeats never wait for the thread pool): takes all
/// inputs that wait, steps the replicas, flushes those touched or due, and emits one batch: what must be durable to the
/// WAL writer together with the messages that wait for it, the other messages to the peers, the answers to the clients.
/// </summary>
internal sealed class ShardLoop
{
    /// <summary>
    /// Timers may be late by this much, so that the heartbeats of all shards on this node fall together and share frames.
    /// Small beside the heartbeat interval of 50 ms.
    /// </summary>
    private const double TimerSlackMs = 3;

    private readonly Inbox _inbox;
    private readonly LoopServices _services;
    private readonly QuietShards _quiet;
    private readonly Thread _thread;
    private readonly List<HostedReplica> _replicas = [];
    private readonly List<HostedReplica> _touched = [];
    private readonly Action<HostedReplica> _touch;
    private readonly List<OutboundMessage> _sendNow = [];
    private WalJob _job = WalJob.Rent();
    private (bool IsReluctant, bool IsFull, int Replicas) _told;
    private volatile bool _stopping;
    private long _callsBegun;

    public ShardLoop(int number, LoopLimits limits, LoopServices services, QuietShards quiet)
    {
        _quiet = quiet;
        _touch = Touch;
        _inbox = new Inbox(limits.Calls, limits.Messages);
        _services = services;
        _thread = new Thread(Run) { IsBackground = true, Name = $"shard-loop-{number}" };
    }

    /// <summary>The inputs that wait.</summary>
    public Inbox Inbox => _inbox;

    /// <summary>Clients' calls that its replicas have taken in, ever. Any thread.</summary>
    public long CallsBegun => Volatile.Read(ref _callsBegun);

    /// <summary>Gives the loop a replica, before <see cref="Start"/> or while it runs: what is posted afterwards finds it there.</summary>
    public void Add(HostedReplica replica)
    {
        replica.Loop = this;
        if (_thread.ThreadState.HasFlag(ThreadState.Unstarted))
        {
            _replicas.Add(replica);
        }
        else
        {
            _inbox.Post(LoopInput.ForHost(replica));
        }
    }

    /// <summary>Takes a replica away, with all that the disk holds of it; its calls are answered as at the loop's end. That it is never to be hosted again must be durable.</summary>
    public void TakeAway(HostedReplica replica) => _inbox.Post(LoopInput.ForTakeAway(replica));

    /// <summary>Starts the thread.</summary>
    public void Start() => _thread.Start();

    /// <summary>Hands a call in. Unless it was taken nothing was written, and it is still the caller's.</summary>
    public Posted TrySubmit(HostedReplica target, Call call) => _inbox.TryPostCall(LoopInput.ForCall(target, call), call.Cost);

    /// <summary>How many calls wait for an answer of the loop's replicas; 0 once it has ended.</summary>
    public Task<int> CountWaitingAsync()
    {
        var counted = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var posted = _inbox.Post(LoopInput.ForRun(() => counted.TrySetResult(_replicas.Sum(static hosted => hosted.Calls.Count))));
        return posted ? counted.Task : Task.FromResult(0);
    }

    /// <summary>Ends the loop after what it is doing, and answers what it leaves unanswered: writes that may be in a log as indeterminate.</summary>
    public void Stop()
    {
        _stopping = true;
        _inbox.Wake();
        if (_thread.ThreadState.HasFlag(ThreadState.Unstarted))
        {
            AbandonAll();
        }
        else if (Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    private void Run()
    {
        try
        {
            SetReluctance();

            // A replica may have something to do before any input: apply what its disk holds, or ask who is empty.
            foreach (var replica in _replicas)
            {
                Touch(replica);
            }

            FlushTouched(NodeClock.Read());
            while (!_stopping)
            {
                var inputs = _inbox.Take(WaitMs());
                var clock = NodeClock.Read();
                NodeMetrics.LoopBatch.Record(inputs.Length);
                SetReluctance();
                DispatchAll(inputs, clock);
                TouchDue(clock);
                FlushTouched(clock);
            }
        }
        catch (Exception e)
        {
            _services.Fatal(new NodeFailedException(
                $"A shard loop met a state that must not be ({e.GetType().Name}: {e.Message}). The node stops rather than go on from it; its data is as durable as before. Start it again, and report this with the log.", e));
        }
        finally
        {
            AbandonAll();
        }
    }

    private int WaitMs()
    {
        var earliest = _quiet.NextDeadline;
        foreach (var hosted in _replicas)
        {
            earliest = Instant.Min(earliest, hosted.Deadline);
        }

        if (earliest == Instant.Never)
        {
            return 1000;
        }

        var ms = earliest.MsSince(NodeClock.Now);
        return ms <= 0 ? 0 : (int)Math.Ceiling(Math.Min(ms + TimerSlackMs, 1000));
    }

    private void SetReluctance()
    {
        var told = (_services.IsReluctant(), _services.IsFull(), _replicas.Count);
        if (told == _told)
        {
            return;
        }

        _told = told;
        var (isReluctant, isFull, _) = told;
        foreach (var hosted in _replicas)
        {
            // A quiet one may have to wake for it.
            Touch(hosted);
            hosted.Replica.Reluctant = isReluctant;
            hosted.Replica.HasNoRoom = isFull;
        }
    }

    private void DispatchAll(ReadOnlySpan<LoopInput> inputs, ClockReading clock)
    {
        var next = 0;
        try
        {
            while (next < inputs.Length)
            {
                Dispatch(inputs[next++], clock);
            }
        }
        catch
        {
            // These were taken out of the inbox, and nobody else knows of them (hazard 7). The call that was being
            // dispatched is in its replica's table, which is answered with the rest when the loop ends.
            NeverStarted(inputs[next..]);
            throw;
        }
    }

    private void Dispatch(in LoopInput input, ClockReading clock)
    {
        if (input.Target is { } target)
        {
            if (target.IsGone)
            {
                (input.Payload as Call)?.Fail(ResultCode.NotLeader);
                return;
            }

            // One that the loop gets right now may have something to do at once, as at the loop's start.
            Touch(target);
            var replica = target.Replica;
            switch (input.Kind)
            {
                case LoopInputKind.Call:
                    Begin(target, (Call)input.Payload!, clock);
                    break;
                case LoopInputKind.Message:
                    _quiet.BeforeMessage(target);
                    replica.Receive(input.Peer, new Incarnation(input.Number), (Message)input.Payload!, clock);
                    break;
                case LoopInputKind.Persisted:
                    replica.Persisted(new PersistSequence(input.Number), clock);
                    break;
                case LoopInputKind.Fetched:
                    replica.EntriesFetched(input.Peer, (IReadOnlyList<Entry>)input.Payload!, clock);
                    break;
                case LoopInputKind.Act:
                    ((Action<Replica, ClockReading>)input.Payload!)(replica, clock);
                    break;
                case LoopInputKind.Host:
                    _replicas.Add(target);
                    break;
                case LoopInputKind.TakeAway:
                    End(target);
                    break;
                case LoopInputKind.Transfer:
                    replica.TransferLeadership(input.Peer, clock);
                    break;
                default:
                    throw new InvalidOperationException($"An input of kind {input.Kind} names a replica.");
            }

            return;
        }

        switch (input.Kind)
        {
            case LoopInputKind.PeerGone:
                foreach (var hosted in _replicas)
                {
                    Touch(hosted);
                    hosted.Replica.PeerGone(input.Peer, clock);
                }

                break;
            case LoopInputKind.PeerProcess:
                _quiet.ProcessIs((Hello)input.Payload!, clock.Now, _touch);
                break;
            case LoopInputKind.Run:
                ((Action)input.Payload!)();
                break;
            default:
                throw new InvalidOperationException($"An input of kind {input.Kind} names no replica.");
        }
    }

    private void End(HostedReplica target)
    {
        target.IsGone = true;
        _replicas.Remove(target);
        _quiet.Forget(target);
        foreach (var call in target.Calls.RemoveAll())
        {
            call.Abandon();
        }

        // Behind all that it ever gave the log to write.
        _job.Forgets.Add(target.Genesis.Group);
        _services.Snapshots.Remove(target);
    }

    private void Begin(HostedReplica target, Call call, ClockReading clock)
    {
        if (call.Kind == CallKind.Command && _services.NoWritesBecause() is { } objection)
        {
            // Nothing was written. Where others have room this node no longer leads, and the gateway finds them.
            call.Fail(target.Replica.Raft.Role == Role.Leader ? ResultCode.Overloaded : ResultCode.NotLeader, objection);
            return;
        }

        if (call.Kind == CallKind.Command && !target.Replica.Raft.HasRoomToCommit)
        {
            // At once and for good, as where this node's own disk is low: to wait for room helps nobody.
            call.Fail(ResultCode.Overloaded, $"the disks of {string.Join(" and ", target.Replica.Raft.WithoutRoom)} are full, so that no majority of shard {target.Genesis.Shard} can keep a write. Nothing was written. Free space there; they go on by themselves");
            return;
        }

        if (call.Kind == CallKind.Command && call.Command.NamesKey && target.Replica.HeldUpBy(clock.Now) is { IsNone: false } silent)
        {
            var link = target.Replica.LinkTo(silent);
            call.Fail(ResultCode.ReplicaUnavailable, $"node {silent} does not answer{(link.IsNone ? "" : $": the chain is broken at {link} → {silent}")}, and in mode {ClusterState.NameOf(target.Replica.Ownership.Mode)} shard {target.Genesis.Shard} must have every write on it. Nothing was written. Start it, wait until it is taken out of the in-sync set (--heal-after), or switch to mode raft");
            return;
        }

        if (call is { Kind: not CallKind.Command, Stale: false } && target.Replica is { HasNoRoom: true, Raft.Role: not Role.Leader })
        {
            // It may lack what was committed since, and would wait for that until there is room. The leader does not.
            call.Fail(ResultCode.NotLeader);
            return;
        }

        Volatile.Write(ref _callsBegun, _callsBegun + 1);
        var id = target.Calls.Add(call);
        switch (call.Kind)
        {
            case CallKind.Command:
                target.Replica.Execute(id, call.Command, call.Deadline, clock);
                break;
            case CallKind.Get:
                target.Replica.Get(id, call.Command.Key, call.Stale, call.Deadline, clock);
                break;
            default:
                target.Replica.Scan(id, call.Scan, call.Stale, call.Deadline, clock);
                break;
        }
    }

    private void TouchDue(ClockReading clock)
    {
        foreach (var hosted in _replicas)
        {
            if (hosted.Deadline <= clock.Now)
            {
                Touch(hosted);
                hosted.Replica.Tick(clock);
            }
        }

        _quiet.Tick(clock.Now, _replicas.Count, _touch);
    }

    private void Touch(HostedReplica hosted)
    {
        if (!hosted.Touched)
        {
            hosted.Touched = true;
            _touched.Add(hosted);
        }
    }

    /// <summary>Flushes every replica touched, then emits: the disk first, for it takes longest; then the peers; the answers have gone already.</summary>
    private void FlushTouched(ClockReading clock)
    {
        _touched.RemoveAll(static hosted => hosted.IsGone);
        foreach (var hosted in _touched)
        {
            hosted.Touched = false;
            var output = hosted.Output = hosted.Replica.Flush(clock);
            hosted.Feed.Show(hosted.Replica.Events, hosted.Replica.LastApplied);
            var changed = hosted.LostItsSeat;
            foreach (var effect in output.Effects)
            {
                changed |= Carry(hosted, effect);
            }

            if (output.Handoffs.Count > 0)
            {
                NodeMetrics.MovedBytes.Add(output.Handoffs.Sum(static to => to.Message is HandoffMessage.Data data ? data.Items.Length : 0L));
                _services.SendHandoffs(output.Handoffs);
            }

            if (output.Image is { } image)
            {
                _services.Snapshots.Write(hosted, image);
            }

            var reconfigured = hosted.TakeReconfigured();

            // Nothing may touch a quiet one for long, so what it looks like is published as it is.
            hosted.Publish(clock.Now, changed || reconfigured || hosted.Replica.Raft.IsQuiet != hosted.View.IsQuiet);
            if (changed)
            {
                _services.RoleChanged(hosted);
            }

            if (reconfigured)
            {
                _services.ConfigurationChanged(hosted);
            }

            if (hosted.TakeNews(clock.Now) is { } news)
            {
                _services.ShardChanged(news);
            }
        }

        if (!_job.IsEmpty)
        {
            _services.Wal.Submit(_job);
            _job = WalJob.Rent();
        }

        if (_sendNow.Count > 0)
        {
            _services.Send(_sendNow);
            _sendNow.Clear();
        }

        foreach (var hosted in _touched)
        {
            Answer(hosted);
            _quiet.Note(hosted, clock.Now);
            hosted.Deadline = hosted.Replica.NextDeadline;
        }

        _touched.Clear();
    }

    /// <summary>Carries one effect out, or puts it into the batch. True if role, term or leader changed.</summary>
    private bool Carry(HostedReplica hosted, Effect effect)
    {
        switch (effect)
        {
            case Effect.Persist persist:
                _job.Add(hosted, persist);
                if (persist.MustSync)
                {
                    hosted.SyncAsked = persist.Sequence;
                }

                return false;
            case Effect.Send send:
                var message = new OutboundMessage(send.To, hosted.Genesis.Group, send.Message);
                if (send.After.Value == 0)
                {
                    _sendNow.Add(message);
                }
                else
                {
                    // Jobs are written in order: whatever this waits for is in this job or an earlier one.
                    _job.Add(message, mustSync: send.After.Value > hosted.SyncAsked.Value);
                }

                return false;
            case Effect.Fetch fetch:
                _services.Wal.Fetch(hosted, fetch);
                return false;
            case Effect.Release release:
                _job.Releases.Add((hosted, release.Through));
                return false;
            case Effect.ReadSnapshot read:
                _services.Snapshots.Read(hosted, read);
                return false;
            case Effect.StoreSnapshot store:
                _services.Snapshots.Store(hosted, store);
                return false;
            case Effect.DropSnapshot drop:
                _services.Snapshots.Drop(hosted, drop.Snapshot);
                return false;
            case Effect.RoleChanged:
                return true;
            case Effect.ConfigurationChanged:
                hosted.Reconfigured = true;
                return false;
            default:
                throw new InvalidOperationException($"A replica emitted {effect.GetType().Name}, which it should deal with inside.");
        }
    }

    private static void Answer(HostedReplica hosted)
    {
        var output = hosted.Output;
        foreach (var (id, result) in output.Replies)
        {
            hosted.Calls.Remove(id)?.Complete(result, detail: null);
        }

        foreach (var (id, page) in output.Pages)
        {
            hosted.Calls.Remove(id)?.Complete(page);
        }
    }

    /// <summary>Fails calls that never reached a replica: nothing was written.</summary>
    private static void NeverStarted(ReadOnlySpan<LoopInput> inputs)
    {
        foreach (ref readonly var input in inputs)
        {
            if (input.Payload is Call call)
            {
                call.Fail(ResultCode.NotLeader);
            }
        }
    }

    private void AbandonAll()
    {
        _quiet.End();
        NeverStarted(_inbox.Close());
        foreach (var hosted in _replicas)
        {
            foreach (var call in hosted.Calls.RemoveAll())
            {
                call.Abandon();
            }
        }
    }
}
