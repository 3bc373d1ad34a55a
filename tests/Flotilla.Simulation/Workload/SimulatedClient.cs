using Flotilla.Linearizability;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Simulation.Workload;

/// <summary>
/// A client in a closed loop, that reaches every node even where nodes don't reach each other: that is what makes stale
/// leaders dangerous. It tries again only what was certainly not proposed, as the gateway does; an answer that gets lost
/// leaves it in the dark.
/// </summary>
public sealed class SimulatedClient
{
    private const int DeadlineMs = 1500;
    private const long GiveUpUs = 3_000_000;
    private const long SlackUs = 700_000;
    private readonly World _world;
    private readonly Workload _workload;
    private readonly Chance _chance;
    private readonly int _number;
    private readonly Dictionary<string, (string? Value, Version Version)> _known = [];
    private int _writes;
    private int _attempt;

    /// <summary>A client that has not begun.</summary>
    public SimulatedClient(World world, Workload workload, int number, Chance chance)
    {
        _world = world;
        _workload = workload;
        _number = number;
        _chance = chance;
    }

    /// <summary>Thinks, then begins the next operation.</summary>
    public void Next()
    {
        if (!_workload.Stopping)
        {
            _world.Scheduler.After(_chance.Exponential(_world.Options.ThinkMs * 1000.0), () =>
            {
                if (_workload.Resting)
                {
                    Next();
                }
                else if (!_workload.Stopping)
                {
                    var request = Draw();
                    Try(request, null);
                }
            });
        }
    }

    /// <summary>Carries out one request, and says how it ended; null for "nobody knows". The first attempt goes to <paramref name="first"/>, if given.</summary>
    public void Try(ClientRequest request, Action<CommandResult?>? done, SimulatedNode? first = null)
    {
        var shard = _world.OwnerOf(Keys.Bytes(request.Key));
        var giveUpAt = request.StartUs + GiveUpUs;
        Attempt(request, shard, first ?? Target(request, shard), giveUpAt, done);
    }

    private ClientRequest Draw()
    {
        var now = _world.Scheduler.NowUs;
        var dice = _chance.Below(100);
        if (dice < 8)
        {
            return new ClientRequest(_number, OperationKind.Put, _chance.Pick(_workload.Keys.Expiring), NewValue(), 0, null, default, false, _chance.Between(50, 4000), now);
        }

        if (dice < 20)
        {
            return new ClientRequest(_number, OperationKind.Increment, _chance.Pick(_workload.Keys.Counters), null, 1, null, default, true, 0, now);
        }

        if (dice < 25)
        {
            return new ClientRequest(_number, OperationKind.Get, _chance.Pick(_workload.Keys.Counters), null, 0, null, default, true, 0, now);
        }

        var key = _chance.Pick(_workload.Keys.Registers);
        if (dice < 60)
        {
            return new ClientRequest(_number, OperationKind.Get, key, null, 0, null, default, true, 0, now);
        }

        if (dice < 80)
        {
            return new ClientRequest(_number, OperationKind.Put, key, NewValue(), 0, null, default, true, 0, now);
        }

        if (dice < 85)
        {
            return new ClientRequest(_number, OperationKind.Delete, key, null, 0, null, default, true, 0, now);
        }

        var (value, version) = _known.GetValueOrDefault(key);
        return new ClientRequest(_number, OperationKind.CompareAndSwap, key, NewValue(), 0, value, version, true, 0, now);
    }

    // Most values are small; some make the log roll over into its next segment.
    private string NewValue()
    {
        var value = $"{_number}-{++_writes}";
        return _chance.Hit(0.05) ? value.PadRight((int)_chance.Between(500, 3000), '.') : value;
    }

    private SimulatedNode Target(ClientRequest request, ShardId shard) =>
        request.Kind == OperationKind.Get && _chance.Hit(0.4) ? _chance.Pick(_world.Nodes) : _workload.LeaderHint(shard) ?? _chance.Pick(_world.Nodes);

    private void Attempt(ClientRequest request, ShardId shard, SimulatedNode node, long giveUpAt, Action<CommandResult?>? done)
    {
        var attempt = ++_attempt;
        var answered = false;

        void Answer(CommandResult? result)
        {
            if (answered)
            {
                return;
            }

            answered = true;
            var mayRetry = result?.Code is ResultCode.NotLeader or ResultCode.NoQuorum or ResultCode.Overloaded || (result is null && request.Kind == OperationKind.Get);
            if (mayRetry && _world.Scheduler.NowUs < giveUpAt)
            {
                _world.Scheduler.After(_chance.Between(1_000, 40_000), () => Attempt(request, shard, _workload.LeaderHint(shard) ?? _chance.Pick(_world.Nodes), giveUpAt, done));
                return;
            }

            End(request, result, done);
        }

        _world.Scheduler.After(_chance.Exponential(150), () => Arrive(request, shard, node, attempt, Answer));
    }

    private void Arrive(ClientRequest request, ShardId shard, SimulatedNode node, int attempt, Action<CommandResult?> answer)
    {
        if (!node.Up)
        {
            // A refused connection: certainly nothing was proposed.
            _workload.Forget(shard, node);
            answer(CommandResult.Of(ResultCode.NoQuorum));
            return;
        }

        var hosted = World.ReplicaOn(node, shard);
        var id = _workload.NextRequest();
        var boot = node.Boot;
        if (_world.Transcript.On)
        {
            _world.Say(hosted, $"<- c{_number}.{attempt} {request.Kind} {request.Key} {Short(request.Value)}");
        }

        hosted.Requests.Add(id, result =>
        {
            _workload.Learn(shard, hosted.Replica.Raft.Leader, result.Code);
            if (_world.Transcript.On)
            {
                _world.Say(hosted, $"-> c{_number}.{attempt} {result.Code} {result.Version} {Short(Keys.Text(result.Value))}");
            }

            if (_workload.Stopping || !_world.AnswersGetLost || !_chance.Hit(_world.Options.Noise / 2))
            {
                _world.Scheduler.After(_chance.Exponential(150), () => answer(result));
            }
        });
        node.Post(hosted, (replica, clock) =>
        {
            var deadline = clock.Now.PlusMs(DeadlineMs);
            if (request.Kind == OperationKind.Get)
            {
                replica.Get(new RequestId(id), Keys.Bytes(request.Key), stale: false, deadline, clock);
            }
            else
            {
                replica.Execute(new RequestId(id), request.ToCommand(), deadline, clock);
            }
        });
        _world.Scheduler.After((DeadlineMs * 1000) + SlackUs, () => GiveUp(hosted, id, boot, answer));
    }

    // Clocks that run ten per cent slow and a step that comes late are within the slack; a node that was stopped is excused.
    private void GiveUp(HostedReplica hosted, ulong id, int boot, Action<CommandResult?> answer)
    {
        var node = hosted.Node;
        if (node.Up && node.Boot == boot && hosted.Requests.ContainsKey(id) && node.DisturbedAtUs < _world.Scheduler.NowUs - SlackUs - (DeadlineMs * 1000))
        {
            throw new SimulationException($"{hosted.Name} left request {id} without an answer beyond its deadline (hazard 7)");
        }

        answer(null);
    }

    private void End(ClientRequest request, CommandResult? result, Action<CommandResult?>? done)
    {
        if (request.Recorded)
        {
            _workload.History.Record(request, result);
        }

        if (result is { } answer)
        {
            Remember(request, answer);
        }

        if (done is null)
        {
            Next();
        }
        else
        {
            done(result);
        }
    }

    private void Remember(ClientRequest request, CommandResult answer)
    {
        var value = request.Kind == OperationKind.Get ? Keys.Text(answer.Value) : request.Value;
        if (answer.Code == ResultCode.Ok && request.Kind is OperationKind.Get or OperationKind.Put or OperationKind.CompareAndSwap)
        {
            _known[request.Key] = (value, answer.Version);
        }
        else if (answer.Code is ResultCode.NotFound or ResultCode.VersionMismatch || request.Kind == OperationKind.Delete)
        {
            _known.Remove(request.Key);
        }
    }

    private static string Short(string? text) => text is null ? "" : text.TrimEnd('.');
}
