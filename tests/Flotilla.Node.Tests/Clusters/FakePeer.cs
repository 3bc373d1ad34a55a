using System.Collections.Concurrent;
using System.Threading.Channels;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>
/// Stands in for a node that real nodes with lower ids dial: says what a test has it say of shard 1, over and over so that
/// its stream counts as alive, and takes forwarded calls: openings of sessions it answers by itself, all others when the
/// test says so.
/// </summary>
internal sealed class FakePeer : IAsyncDisposable
{
    private readonly NodeOptions _options;
    private readonly Genesis _genesis;
    private readonly Channel<CallRequest> _requests = Channel.CreateUnbounded<CallRequest>();
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<CallReply> _replies = new();
    private readonly ConcurrentQueue<ReadOnlyMemory<byte>> _answers = new();
    private readonly ConcurrentQueue<GossipMessage> _heard = new();
    private RpcListener? _listener;
    private volatile ShardItem? _shard;
    private volatile TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private FakePeer(NodeOptions options)
    {
        _options = options;
        _genesis = Genesis.Compute(options.InitialCluster, options.Shards, options.Replicas);
    }

    /// <summary>The calls that were forwarded here.</summary>
    public ChannelReader<CallRequest> Requests => _requests.Reader;

    /// <summary>It tells its news by itself; otherwise only to who asks.</summary>
    public bool IsTalkative { get; set; } = true;

    /// <summary>The gossip that came.</summary>
    public IEnumerable<GossipMessage> Heard => _heard;

    /// <summary>How it answers who asks for a session.</summary>
    public CommandResult Opening { get; set; } = new(ResultCode.Ok, new Data.Version(0, 0, 5, 0), default);

    /// <summary>Answers a call.</summary>
    public void Reply(ulong id, CommandResult result)
    {
        _replies.Enqueue(new CallReply(id, result, null, default, null, null));
        _news.TrySetResult();
    }

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
        Describe(_ => _ with { Version = new DescriptorVersion(term, term), Leader = leader.Value });
    }

    /// <summary>Tells what shard 1 is, from now on: as it began, changed in some way.</summary>
    public void Describe(Func<ShardDescriptor, ShardDescriptor> change)
    {
        var shard = _genesis.Shards[0];
        _shard = ShardItem.Of(change(new ShardDescriptor
        {
            Key = new ShardKey(shard.Shard, shard.Group.Value),
            Version = new DescriptorVersion(1, 1),
            State = ShardState.Active,
            Slots = SlotEpochs.Of(SlotSet.Of(shard.Slots), SlotEpoch.First),
        }));
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
                    frame.Requests.ForEach(Take);
                    frame.Gossip.ForEach(Hear);
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

    // As a node would: it holds what it was told to say, and what the others said.
    private void Hear(ReadOnlyMemory<byte> bytes)
    {
        Assert.True(GossipCodec.TryDecode(bytes.Span, out var message, out var problem), problem);
        _heard.Enqueue(message!);
        var gossiper = new Gossiper(new GossipOptions(_genesis.ClusterId, null, 0, 0), _shard is { } shard ? GossipTable.Empty.Merge([shard], out _) : GossipTable.Empty);
        foreach (var send in gossiper.Receive("asker", message!).Sends)
        {
            _answers.Enqueue(GossipCodec.Encode(send.Message));
        }

        _news.TrySetResult();
    }

    private void Take(CallRequest request)
    {
        if (request.Command.Kind == CommandKind.OpenSession)
        {
            Reply(request.Id, Opening);
        }
        else
        {
            _requests.Writer.TryWrite(request);
        }
    }

    private async Task TellAsync(RpcDuplex stream)
    {
        try
        {
            while (!_stop.IsCancellationRequested)
            {
                _news = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                var news = _news.Task;
                var frame = new PeerFrame { ClusterId = _genesis.ClusterId };
                if (_shard is { } shard && IsTalkative)
                {
                    frame.Gossip.Add(GossipCodec.Encode(new GossipMessage.News(_genesis.ClusterId, [shard])));
                }

                while (_answers.TryDequeue(out var answer))
                {
                    frame.Gossip.Add(answer);
                }

                while (_replies.TryDequeue(out var reply))
                {
                    frame.Replies.Add(reply);
                }

                await SayAsync(stream, frame);
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
