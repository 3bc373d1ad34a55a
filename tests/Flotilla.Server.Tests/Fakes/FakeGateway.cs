using System.Collections.Concurrent;
using System.Text;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Record = Flotilla.Data.Record;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Tests.Fakes;

/// <summary>A gateway in memory that does what a shard would, keeps what it was asked, and answers otherwise when told to.</summary>
internal sealed class FakeGateway : IGateway
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Record> _records = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (Command Command, CommandResult Result)> _kept = new(StringComparer.Ordinal);
    private ulong _index;

    /// <summary>Answers a write in the store's place, unless it returns null.</summary>
    public Func<Command, CallOptions, ValueTask<Answer>?>? OnExecute { get; set; }

    /// <summary>Answers a read in the store's place, unless it returns null.</summary>
    public Func<CallOptions, ValueTask<Answer>?>? OnGet { get; set; }

    /// <summary>Answers a scan in the store's place, unless it returns null.</summary>
    public Func<ScanRequest, ScanAnswer?>? OnScan { get; set; }

    /// <summary>Every write asked for.</summary>
    public ConcurrentQueue<(Command Command, CallOptions Options)> Writes { get; } = new();

    /// <summary>Every read asked for, scans among them.</summary>
    public ConcurrentQueue<CallOptions> Reads { get; } = new();

    /// <summary>How the last write, read or scan was asked for.</summary>
    public CallOptions LastOptions { get; private set; }

    /// <summary>The last write asked for.</summary>
    public Command LastCommand { get; private set; }

    /// <summary>The last scan asked for.</summary>
    public ScanRequest LastScan { get; private set; }

    public ClusterView View { get; set; } = Views.Node();

    /// <summary>Answers every write and every read with the same from now on.</summary>
    public void AnswerAll(Func<Task<Answer>> answer)
    {
        OnExecute = (_, _) => new ValueTask<Answer>(answer());
        OnGet = _ => new ValueTask<Answer>(answer());
    }

    public static Answer Answered(ResultCode code, string? detail = null) =>
        new(CommandResult.Of(code), new ShardId(2), new NodeId("n2"), "127.0.0.1:8002", detail);

    public ValueTask<Answer> ExecuteAsync(Command command, CallOptions options)
    {
        Writes.Enqueue((command, options));
        LastCommand = command;
        LastOptions = options;
        return OnExecute?.Invoke(command, options) ?? new(Answered(ApplyOnce(command)));
    }

    public ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options)
    {
        Reads.Enqueue(options);
        LastOptions = options;
        if (OnGet?.Invoke(options) is { } answer)
        {
            return answer;
        }

        lock (_gate)
        {
            return new(Answered(_records.TryGetValue(Text(key), out var record)
                ? new CommandResult(ResultCode.Ok, record.Version, record.Value)
                : CommandResult.Of(ResultCode.NotFound)));
        }
    }

    public ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options)
    {
        Reads.Enqueue(options);
        LastOptions = options;
        LastScan = request;
        if (OnScan?.Invoke(request) is { } answer)
        {
            return new(answer);
        }

        lock (_gate)
        {
            var from = Text(request.From);
            var prefix = Text(request.Prefix);
            var found = _records.Where(r => string.CompareOrdinal(r.Key, from) >= 0 && r.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(r => r.Value).Take(request.Limit + 1).ToList();
            ReadOnlyMemory<byte>? next = found.Count > request.Limit ? found[request.Limit].Key : default(ReadOnlyMemory<byte>?);
            return new(new ScanAnswer(ResultCode.Ok, found.Take(request.Limit).ToList(), next, default, default, null, null));
        }
    }

    public ValueTask<ScanAnswer> GetManyAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, CallOptions options)
    {
        LastOptions = options;
        LastScan = new ScanRequest(default, default, keys.Count, 1) { Keys = keys };
        if (OnScan?.Invoke(LastScan) is { } answer)
        {
            return new(answer);
        }

        lock (_gate)
        {
            return new(new ScanAnswer(ResultCode.Ok, [.. keys.Select(Text).Where(_records.ContainsKey).Select(key => _records[key])], null, default, default, null, null));
        }
    }

    private static Answer Answered(CommandResult result) => new(result, new ShardId(1), new NodeId("n1"), "127.0.0.1:8001", null);

    // Latin-1 keeps the order of bytes.
    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.Latin1.GetString(bytes.Span);

    private CommandResult ApplyOnce(in Command command)
    {
        if (command.Once is not Once.ByKey once)
        {
            return Apply(command);
        }

        lock (_gate)
        {
            var name = Text(once.Key);
            if (!_kept.TryGetValue(name, out var kept))
            {
                kept = (command, Apply(command));
                _kept.Add(name, kept);
            }

            return kept.Command.Delta == command.Delta ? kept.Result : CommandResult.Of(ResultCode.KeyReused);
        }
    }

    private CommandResult Apply(in Command command)
    {
        lock (_gate)
        {
            var key = Text(command.Key);
            var there = _records.TryGetValue(key, out var record);
            switch (command.Kind)
            {
                case CommandKind.CompareAndSwap or CommandKind.CompareAndDelete when !there || record.Version != command.Expected:
                case CommandKind.PutIfAbsent when there:
                    return new CommandResult(ResultCode.VersionMismatch, there ? record.Version : default, default);
                case CommandKind.Delete or CommandKind.CompareAndDelete:
                    return CommandResult.Of(_records.Remove(key) ? ResultCode.Ok : ResultCode.NotFound);
                case CommandKind.Increment:
                    var number = 0L;
                    if (there && !long.TryParse(record.Value.Span, out number))
                    {
                        return CommandResult.Of(ResultCode.BadRequest);
                    }

                    var sum = Encoding.ASCII.GetBytes((number + command.Delta).ToString());
                    return new CommandResult(ResultCode.Ok, Write(key, command.Key, sum), sum);
                default:
                    return new CommandResult(ResultCode.Ok, Write(key, command.Key, command.Value), default);
            }
        }
    }

    private Version Write(string text, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value)
    {
        var version = new Version(1, 0, ++_index, 0);
        _records[text] = new Record(key, value, version, 0);
        return version;
    }
}
