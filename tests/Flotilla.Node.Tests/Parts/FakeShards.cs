using System.Collections.Concurrent;
using Flotilla.Data;
using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests.Parts;

/// <summary>What becomes of one attempt.</summary>
internal enum Fate
{
    /// <summary>It is applied and answered.</summary>
    Answered,

    /// <summary>It never left, and that is known.</summary>
    NotSent,

    /// <summary>It is lost on the way there: never applied, no answer.</summary>
    Lost,

    /// <summary>It is applied, and the answer is lost.</summary>
    AnswerLost,

    /// <summary>No answer; it is applied when <see cref="FakeShards.DeliverLate"/> says so.</summary>
    Late,

    /// <summary>It is applied, and waits for <see cref="FakeShards.ReleaseHeld"/>.</summary>
    Held,
}

/// <summary>Stands in for the shards of a cluster: state machines that apply what is sent to them at once, behind a network that does to each attempt what a test says.</summary>
internal sealed class FakeShards : ITargets
{
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _never = new();
    private readonly List<StateMachine> _machines = [];
    private readonly List<ShardRoute> _routes = [];
    private readonly List<(int Shard, Command Command)> _late = [];
    private readonly ConcurrentQueue<(TaskCompletionSource Release, Outcome Outcome)> _held = new();
    private long _stampMs = 1000;

    public FakeShards(int shards = 1)
    {
        for (var i = 0; i < shards; i++)
        {
            var slots = i == 0 ? Enumerable.Range(0, Slot.Count).Select(s => new Slot((ushort)s)).ToArray() : [];
            _machines.Add(new StateMachine(new BTree(), slots));
            _routes.Add(new ShardRoute(new ShardId(i + 1), new GroupId((ulong)i + 1), ShardMembers.First([new NodeId("n1")]), SlotSet.Empty, null));
        }
    }

    /// <summary>Which shard is believed to own every key, from 0.</summary>
    public int Owner { get; set; }

    /// <summary>Another node leads, and asking it is up to the client.</summary>
    public bool LedElsewhere { get; set; }

    public SessionTerms Sessions { get; set; } = SessionTerms.Default;

    public KeyTerms Keys { get; set; } = KeyTerms.Default;

    /// <summary>What becomes of the next attempts of writes with keys; afterwards all are answered.</summary>
    public Queue<object> Plan { get; } = new();

    /// <summary>The same for the openings of sessions.</summary>
    public Queue<object> OpeningPlan { get; } = new();

    /// <summary>Draws what becomes of attempts for which there is no plan.</summary>
    public Func<Command, object>? Draw { get; set; }

    /// <summary>Every attempt that was made of a write with a key, in order.</summary>
    public List<Command> Attempts { get; } = [];

    /// <summary>A session was closed.</summary>
    public bool IsClosed { get; private set; }

    public StateMachine Machine(int shard = 0) => _machines[shard];

    /// <summary>Lets an hour, or less, go by.</summary>
    public void Advance(long ms) => _stampMs += ms;

    public void DeliverLate()
    {
        lock (_gate)
        {
            _late.ForEach(late => Apply(late.Shard, late.Command));
            _late.Clear();
        }
    }

    public int Held => _held.Count;

    public void ReleaseHeld()
    {
        while (_held.TryDequeue(out var held))
        {
            held.Release.SetResult();
        }
    }

    public Target Choose(in Ask ask, NodeId hint, int attempt)
    {
        var route = _routes[ask.Shard == default ? Owner : ask.Shard.Value - 1];
        var place = LedElsewhere && !ask.Forward ? Place.Elsewhere : Place.Here;
        return new Target(place, route, new NodeId("n1"), null, false, Task.CompletedTask, null, null) { TableNews = _never.Task };
    }

    public ValueTask<Outcome> AskAsync(in Target target, in Ask ask)
    {
        lock (_gate)
        {
            IsClosed |= ask.Command.Kind == CommandKind.CloseSession;
            var isOpening = ask.Command.Kind == CommandKind.OpenSession;
            var hasKey = !ask.Command.Key.IsEmpty;
            if (hasKey)
            {
                Attempts.Add(ask.Command);
            }

            var shard = target.Route!.Shard.Value - 1;
            object? planned = null;
            var isPlanned = (isOpening && OpeningPlan.TryDequeue(out planned)) || (hasKey && Plan.TryDequeue(out planned));
            var fate = isPlanned ? planned! : Draw?.Invoke(ask.Command) ?? Fate.Answered;
            switch (fate)
            {
                case CommandResult result:
                    return new(new Outcome(result, null, default, null));
                case ResultCode code:
                    return new(Outcome.Of(code, $"refused with {code}"));
                case Fate.NotSent:
                    return new(Outcome.Of(ResultCode.NotLeader, "not sent"));
                case Fate.Lost:
                    return new(NoAnswer);
                case Fate.AnswerLost:
                    Apply(shard, ask.Command);
                    return new(NoAnswer);
                case Fate.Late:
                    _late.Add((shard, ask.Command));
                    return new(NoAnswer);
                case Fate.Held:
                    var held = (Release: new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), Outcome: new Outcome(Apply(shard, ask.Command), null, default, null));
                    _held.Enqueue(held);
                    return new(WhenReleased(held.Release.Task, held.Outcome));
                default:
                    return new(new Outcome(Apply(shard, ask.Command), null, default, null));
            }
        }
    }

    public CommandResult Apply(int shard, Command command)
    {
        lock (_gate)
        {
            command = command.Once switch
            {
                Once.Opening => command with { Once = new Once.Opening(Sessions) },
                Once.ByKey byKey => command with { Once = byKey with { Terms = Keys } },
                _ => command,
            };
            var results = new List<CommandResult>();
            var machine = _machines[shard];
            machine.Apply(new Entry(machine.LastApplied.Next, new Term(1), EntryKind.Command, CommandCodec.Encode(_stampMs, [command])), results);
            return results[0];
        }
    }

    private static Outcome NoAnswer => Outcome.Of(ResultCode.Indeterminate, "the answer was lost");

    private static async Task<Outcome> WhenReleased(Task released, Outcome outcome)
    {
        await released;
        return outcome;
    }
}
