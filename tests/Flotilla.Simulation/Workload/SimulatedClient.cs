using Flotilla.Linearizability;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Version = Flotilla.Data.Version;

namespace Flotilla.Simulation.Workload;

/// <summary>
/// A client in a closed loop, behind a gateway: draws an operation, and how it is named so that it takes effect once; writes
/// down what it learns.
/// </summary>
public sealed class SimulatedClient
{
    private readonly World _world;
    private readonly Workload _workload;
    private readonly Chance _chance;
    private readonly Chance _naming;
    private readonly int _number;
    private readonly Dictionary<string, (string? Value, Version Version)> _known = [];
    private int _writes;
    private int _requests;
    private bool _rushes;

    /// <summary>A client that has not begun.</summary>
    public SimulatedClient(World world, Workload workload, int number, Chance chance)
    {
        _world = world;
        _workload = workload;
        _number = number;
        _chance = chance;
        _naming = chance.Fork();
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
                    Try(Name(Draw()), null);
                }
            });
        }
    }

    /// <summary>Begins to count one of some keys up or to write it, unless it has something else to do. For a client that does nothing else.</summary>
    public void Rush(IReadOnlyList<string> counters, IReadOnlyList<string> registers)
    {
        var keys = _chance.Hit(0.7) && counters.Count > 0 ? counters : registers;
        if (_rushes || _workload.Stopping || keys.Count == 0)
        {
            return;
        }

        _rushes = true;
        _world.Count("rushed write");
        var (kind, value) = ReferenceEquals(keys, counters) ? (OperationKind.Increment, null) : (OperationKind.Put, NewValue());
        Try(Name(new ClientRequest(_number, kind, _chance.Pick(keys), value, 1, null, default, true, 0, _world.Scheduler.NowUs)), _ => _rushes = false);
    }

    /// <summary>Carries out one request, and says how it ended; null for "nobody knows". The first attempt goes to <paramref name="first"/>, if given.</summary>
    public void Try(ClientRequest request, Action<CommandResult?>? done, SimulatedNode? first = null) =>
        _workload.GatewayOf(_number).Carry(request, result => End(request, result, done), first);

    private ClientRequest Name(ClientRequest request)
    {
        var dice = _naming.Below(100);
        return request.Kind == OperationKind.Get ? request : request with
        {
            Number = ++_requests,
            Naming = dice < _world.Options.InSessions ? Naming.Session : dice < _world.Options.InSessions + _world.Options.UnderKeys ? Naming.Key : Naming.Plain,
        };
    }

    private ClientRequest Draw()
    {
        var now = _world.Scheduler.NowUs;
        if (_world.Options.Moves && _chance.Hit(0.3))
        {
            // Whether a write whose slot moved was executed twice shows in a sum at once.
            return new ClientRequest(_number, OperationKind.Increment, Keys.Pick(_world, _chance, _workload.Keys.Counters), null, 1, null, default, true, 0, now);
        }

        var dice = _chance.Below(100);
        if (dice < 8)
        {
            return new ClientRequest(_number, OperationKind.Put, Keys.Pick(_world, _chance, _workload.Keys.Expiring), NewValue(), 0, null, default, false, _chance.Between(50, 4000), now);
        }

        if (dice < 20)
        {
            return new ClientRequest(_number, OperationKind.Increment, Keys.Pick(_world, _chance, _workload.Keys.Counters), null, 1, null, default, true, 0, now);
        }

        if (dice < 25)
        {
            return new ClientRequest(_number, OperationKind.Get, Keys.Pick(_world, _chance, _workload.Keys.Counters), null, 0, null, default, true, 0, now);
        }

        var key = Keys.Pick(_world, _chance, _workload.Keys.Registers);
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
}
