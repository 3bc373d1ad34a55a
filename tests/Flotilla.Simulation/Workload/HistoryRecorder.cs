using System.Globalization;
using Flotilla.Linearizability;
using Flotilla.Shards;
using Flotilla.Simulation.Time;
using Version = Flotilla.Data.Version;

namespace Flotilla.Simulation.Workload;

/// <summary>Writes down what clients asked and learned, for the linearizability checker; checks on the way that a version never names two values.</summary>
public sealed class HistoryRecorder(Scheduler scheduler)
{
    private readonly List<Operation> _operations = [];
    private readonly Dictionary<(string Key, Version Version), string> _values = [];

    /// <summary>The history so far.</summary>
    public IReadOnlyList<Operation> Operations => _operations;

    /// <summary>How many operations ended so.</summary>
    public int CountOf(Outcome outcome) => _operations.Count(o => o.Outcome == outcome);

    /// <summary>A version was seen on a value.</summary>
    public void Saw(string key, Version version, string value)
    {
        if (!version.IsNone && !_values.TryAdd((key, version), value) && _values[(key, version)] != value)
        {
            throw new SimulationException($"version {version} of {key} names both {_values[(key, version)]} and {value}");
        }
    }

    /// <summary>Records that somebody saw a key's record between a moment and now, or that it has none.</summary>
    public void Seen(string client, string key, long startUs, in Data.Record? record)
    {
        var value = record is { } found ? Keys.Text(found.Value) : null;
        if (value is not null)
        {
            Saw(key, record!.Value.Version, value);
        }

        _operations.Add(new Operation(client, OperationKind.Get, key, null, null, startUs, scheduler.NowUs, Outcome.Ok, value, value is not null));
    }

    /// <summary>Records an operation that ended now.</summary>
    /// <param name="request">What was asked.</param>
    /// <param name="result">The answer; null if none came, or none that says what happened.</param>
    public void Record(ClientRequest request, CommandResult? result)
    {
        var outcome = result?.Code switch
        {
            ResultCode.Ok => Outcome.Ok,
            ResultCode.NotFound => Outcome.Ok,
            ResultCode.VersionMismatch => Outcome.Ok,
            null or ResultCode.Indeterminate => request.Kind == OperationKind.Get ? Outcome.Fail : Outcome.Unknown,
            _ => Outcome.Fail,
        };
        string? read = null;
        bool? found = null;
        if (outcome == Outcome.Ok && result is { } answer)
        {
            (read, found) = Learn(request, answer);
        }

        _operations.Add(new Operation($"c{request.Client}", request.Kind, request.Key, request.Kind == OperationKind.Increment ? request.Delta.ToString(CultureInfo.InvariantCulture) : request.Value, request.ExpectedValue, request.StartUs, scheduler.NowUs, outcome, read, found));
    }

    private (string? Read, bool? Found) Learn(ClientRequest request, CommandResult answer)
    {
        switch (request.Kind)
        {
            case OperationKind.Put:
                Saw(request.Key, answer.Version, request.Value!);
                return (null, null);
            case OperationKind.Get when answer.Code == ResultCode.Ok:
                var value = Keys.Text(answer.Value);
                Saw(request.Key, answer.Version, value);
                return (value, true);
            case OperationKind.Get:
                return (null, false);
            case OperationKind.Delete:
                return (null, answer.Code == ResultCode.Ok);
            case OperationKind.CompareAndSwap when answer.Code == ResultCode.Ok:
                Saw(request.Key, answer.Version, request.Value!);
                return (null, true);
            case OperationKind.CompareAndSwap:
                return (_values.GetValueOrDefault((request.Key, answer.Version)), false);
            default:
                var sum = Keys.Text(answer.Value);
                Saw(request.Key, answer.Version, sum);
                return (sum, null);
        }
    }
}
