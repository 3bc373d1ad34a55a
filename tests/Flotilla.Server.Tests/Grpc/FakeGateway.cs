using System.Text;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Record = Flotilla.Data.Record;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Tests.Grpc;

/// <summary>A gateway over a dictionary, which can be told to answer otherwise. Remembers how it was called.</summary>
internal sealed class FakeGateway : IGateway
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<byte[], (byte[] Value, Version Version)> _records = new(Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b)));
    private ulong _index;

    /// <summary>When set, answers every write and get.</summary>
    public Func<ValueTask<Answer>>? Override { get; set; }

    public CallOptions LastOptions { get; private set; }

    public Command LastCommand { get; private set; }

    public ScanRequest LastScan { get; private set; }

    public ClusterView View { get; set; } = ViewOf("n1", 3);

    public static ClusterView ViewOf(string leader, ulong term, ulong commit = 10)
    {
        NodeId[] nodes = [new("n1"), new("n2"), new("n3")];
        return new ClusterView(
            nodes[0],
            false,
            0xabc,
            [.. nodes.Select((n, i) => new NodeView(n, $"127.0.0.1:{8001 + i}", $"127.0.0.1:{50051 + i}", null, true))],
            [new ShardView(new(1), "active", "raft", new(leader), new(term), nodes, [], nodes, [(0, 16383)], $"{term}.{commit}")],
            [new ReplicaView(new(1), Role.PreCandidate, new(term), new(leader), new(commit), new(commit), new(commit), new(0), nodes, [], true, 5, 500)],
            7);
    }

    public ValueTask<Answer> ExecuteAsync(Command command, CallOptions options)
    {
        LastOptions = options;
        LastCommand = command;
        return Override?.Invoke() ?? new(Of(Apply(command)));
    }

    public ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options)
    {
        LastOptions = options;
        lock (_gate)
        {
            return Override?.Invoke() ?? new(Of(_records.TryGetValue(key.ToArray(), out var found) ? new CommandResult(ResultCode.Ok, found.Version, found.Value) : CommandResult.Of(ResultCode.NotFound)));
        }
    }

    public ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options)
    {
        LastOptions = options;
        LastScan = request;
        lock (_gate)
        {
            var found = _records.Where(r => r.Key.AsSpan().SequenceCompareTo(request.From.Span) >= 0 && r.Key.AsSpan().StartsWith(request.Prefix.Span)).Take(request.Limit + 1).ToList();
            ReadOnlyMemory<byte>? next = null;
            if (found.Count > request.Limit)
            {
                next = found[^1].Key;
            }

            return new(new ScanAnswer(ResultCode.Ok, [.. found.Take(request.Limit).Select(r => new Record(r.Key, r.Value.Value, r.Value.Version, 0))], next, new(1), default, null, null));
        }
    }

    private static Answer Of(CommandResult result) => new(result, new ShardId(1), default, null, null);

    private CommandResult Apply(in Command command)
    {
        lock (_gate)
        {
            var key = command.Key.ToArray();
            var exists = _records.TryGetValue(key, out var found);
            var holds = command.Kind switch
            {
                CommandKind.PutIfAbsent => !exists,
                CommandKind.CompareAndSwap or CommandKind.CompareAndDelete => exists && found.Version == command.Expected,
                _ => true,
            };
            if (!holds)
            {
                return new CommandResult(ResultCode.VersionMismatch, found.Version, default);
            }

            var version = new Version(1, 0, ++_index, 0);
            if (command.Kind is CommandKind.Delete or CommandKind.CompareAndDelete)
            {
                return _records.Remove(key) ? new CommandResult(ResultCode.Ok, version, default) : CommandResult.Of(ResultCode.NotFound);
            }

            var value = command.Value.ToArray();
            if (command.Kind == CommandKind.Increment)
            {
                var number = 0L;
                if (exists && !long.TryParse(found.Value, out number))
                {
                    return CommandResult.Of(ResultCode.BadRequest);
                }

                value = Encoding.ASCII.GetBytes((number + command.Delta).ToString());
            }

            _records[key] = (value, version);
            return new CommandResult(ResultCode.Ok, version, command.Kind == CommandKind.Increment ? value : default);
        }
    }
}
