using System.Threading.Channels;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Bench;

/// <summary>A gateway that answers at once, or from a loop of its own as a shard does.</summary>
internal sealed class BenchGateway : IGateway
{
    private static readonly byte[] Value = [.. Enumerable.Repeat((byte)'v', 100)];

    private readonly Channel<TaskCompletionSource<Answer>>? _loop;
    private ulong _index;

    public BenchGateway(bool asynchronous)
    {
        if (asynchronous)
        {
            _loop = Channel.CreateUnbounded<TaskCompletionSource<Answer>>(new UnboundedChannelOptions { SingleReader = true });
            _ = Task.Run(LoopAsync);
        }
    }

    public ClusterView View { get; } = new(new NodeId("bench"), false, 1, [], [], [], 0);

    public ValueTask<Answer> ExecuteAsync(Command command, CallOptions options) => Answered();

    public ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options) => Answered();

    public ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options) => new(new ScanAnswer(ResultCode.Ok, [], null, default, default, null, null));

    public ValueTask<ScanAnswer> GetManyAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, CallOptions options) => ScanAsync(default, options);

    private ValueTask<Answer> Answered()
    {
        if (_loop is null)
        {
            return new(Next());
        }

        var pending = new TaskCompletionSource<Answer>(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Writer.TryWrite(pending);
        return new(pending.Task);
    }

    private async Task LoopAsync()
    {
        while (await _loop!.Reader.WaitToReadAsync())
        {
            while (_loop.Reader.TryRead(out var pending))
            {
                pending.SetResult(Next());
            }
        }
    }

    private Answer Next() => new(new CommandResult(ResultCode.Ok, new Version(1, 0, Interlocked.Increment(ref _index), 0), Value), new ShardId(1), new NodeId("bench"), null, null);
}
