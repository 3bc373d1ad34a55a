using System.Threading.Channels;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>
/// Stands in for a node that real nodes with lower ids dial: says what a test has it say of shard 1, over and over so that
/// its stream counts as alive, takes forwarded calls, and answers none.
/// </summary>
internal sealed class FakePeer : IAsyncDisposable
{
    private readonly NodeOptions _options;
    private readonly Genesis _genesis;
    private readonly Channel<CallRequest> _requests = Channel.CreateUnbounded<CallRequest>();
    private readonly CancellationTokenSource _stop = new();
    private RpcListener? _listener;
    private volatile ClusterStatus _status = new([], [], 0);
    private volatile TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private FakePeer(NodeOptions options)
    {
        _options = options;
        _genesis = Genesis.Compute(options.InitialCluster, options.Shards, options.Replicas);
    }

    /// <summary>The calls that were forwarded here.</summary>
    public ChannelReader<CallRequest> Requests => _requests.Reader;

    public static async Task<FakePeer> StartAsync(NodeOptions options)
    {
        var peer = new FakePeer(options);
        var services = new RpcServices().Duplex(PeerCodec.StreamPath, (stream, _) => peer.ServeAsync(stream));
        peer._listener = await RpcListener.StartAsync(options.Rpc, services, cancellation: TestContext.Current.CancellationToken);
        return peer;
    }

    /// <summary>Tells who leads shard 1, from now on.</summary>
    public void Tell(ulong term, NodeId leader)
    {
        var shard = _genesis.Shards[0];
        _status = new ClusterStatus([], [new ShardStatus(shard.Shard, shard.Group, "active", "raft", leader, new Term(term), ShardMembers.Unsaid, [], [], "")], 0);
        _news.TrySetResult();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _listener!.DisposeAsync();
        _stop.Dispose();
    }

    private async Task<RpcStatus> ServeAsync(RpcDuplex stream)
    {
        var hello = new Hello(PeerFrame.ProtocolVersion, _options.NodeId, new Incarnation(77), 1, _genesis.ClusterId, null, _options.Rpc.ToString(), IsRouter: false);
        await SayAsync(stream, new PeerFrame { ClusterId = _genesis.ClusterId, Hello = hello });
        var telling = TellAsync(stream);
        var frame = new PeerFrame();
        try
        {
            while (await stream.WaitToReadAsync(_stop.Token))
            {
                while (stream.TryRead(out var bytes))
                {
                    PeerCodec.Decode(bytes, frame);
                    frame.Requests.ForEach(r => _requests.Writer.TryWrite(r));
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException)
        {
            // The test is over, or the node that it tests.
        }

        await telling;
        return RpcStatus.Ok;
    }

    private async Task TellAsync(RpcDuplex stream)
    {
        try
        {
            while (!_stop.IsCancellationRequested)
            {
                _news = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                var news = _news.Task;
                await SayAsync(stream, new PeerFrame { ClusterId = _genesis.ClusterId, Status = _status });
                await news.WaitAsync(TimeSpan.FromMilliseconds(200), _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        catch (RpcException)
        {
            // As above.
        }
    }

    private static async Task SayAsync(RpcDuplex stream, PeerFrame frame)
    {
        stream.Write(PeerCodec.ToProto(frame));
        await stream.FlushAsync(CancellationToken.None);
    }
}
