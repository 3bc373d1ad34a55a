using System.Buffers;
using System.IO.Pipelines;
using Google.Protobuf;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// One end of a bidirectional stream. Writing is buffered until <see cref="FlushAsync"/>, so that a batch costs one flush;
/// reading hands out the buffers as they came. One thread may write and flush, and another may read at the same time;
/// neither side is for two. <see cref="Abort"/> and <see cref="CompleteAsync"/> may be called from anywhere.
/// </summary>
public sealed class RpcDuplex : IAsyncDisposable
{
    private readonly PipeWriter _output;
    private readonly RpcMessageReader _reader;
    private readonly RpcDuplexEnd _end;
    private readonly int _maxMessageBytes;
    private int _completed;

    internal RpcDuplex(PipeReader input, PipeWriter output, RpcDuplexEnd end, int maxMessageBytes)
    {
        _output = output;
        _reader = new RpcMessageReader(input, maxMessageBytes, end.Target);
        _end = end;
        _maxMessageBytes = maxMessageBytes;
    }

    /// <summary>Whom this stream reaches: the address dialled, or the remote end's.</summary>
    public string Target => _end.Target;

    /// <summary>
    /// Cancelled when the stream is over: at the accepting end as soon as the connection or stream is cut, at the dialling
    /// end when <see cref="WaitToReadAsync"/> has met the end, or by <see cref="Abort"/>. For a writer that waits for work.
    /// </summary>
    public CancellationToken Closed => _end.Closed;

    /// <summary>Bytes written since the last flush.</summary>
    public long UnflushedBytes { get; private set; }

    /// <summary>How the other side ended the call; meaningful at the dialling end once <see cref="WaitToReadAsync"/> was false.</summary>
    public RpcStatus Status => _end.Status;

    /// <summary>Appends a message to what the next flush sends.</summary>
    /// <exception cref="ArgumentException">The message is over the limit: the other side would cut the stream.</exception>
    public void Write(IMessage message)
    {
        var bytes = RpcFraming.Write(_output, message);
        UnflushedBytes += bytes;
        if (bytes - RpcFraming.PrefixBytes > _maxMessageBytes)
        {
            Abort();
            throw new ArgumentException($"a message of {bytes} bytes is over the limit of {_maxMessageBytes}", nameof(message));
        }
    }

    /// <summary>
    /// Sends what was written; waits while the other side's window is full. After a cancelled flush nobody knows what was
    /// sent: abort the stream.
    /// </summary>
    /// <exception cref="RpcException">The stream is over.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was cancelled.</exception>
    public async ValueTask FlushAsync(CancellationToken cancellation = default)
    {
        UnflushedBytes = 0;
        FlushResult result;
        try
        {
            result = await _output.FlushAsync(cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not RpcException && RpcException.IsTransport(e) && !cancellation.IsCancellationRequested)
        {
            throw RpcException.FromTransport(e, Target);
        }

        if (result.IsCompleted || Closed.IsCancellationRequested)
        {
            throw new RpcException(RpcFailure.Closed, new RpcStatus(RpcCode.Unavailable, $"the stream with {Target} is over"));
        }
    }

    /// <summary>Waits for messages. False: the other side has ended its direction in good order, and at the dialling end <see cref="Status"/> says how.</summary>
    /// <exception cref="RpcException">The stream was cut, or the other side broke the protocol; see <see cref="RpcException.Failure"/>.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was cancelled.</exception>
    public async ValueTask<bool> WaitToReadAsync(CancellationToken cancellation = default)
    {
        try
        {
            if (await _reader.WaitAsync(cancellation).ConfigureAwait(false))
            {
                return true;
            }
        }
        catch (RpcException)
        {
            _end.Abort();
            throw;
        }

        _end.ReadToEnd();
        return false;
    }

    /// <summary>Takes the next message that has arrived whole. Its memory is valid until the next <see cref="WaitToReadAsync"/>.</summary>
    public bool TryRead(out ReadOnlySequence<byte> message) => _reader.TryRead(out message);

    /// <summary>Sends what was written and ends this direction in good order; the other one goes on. For the dialling end: the accepting one ends by returning from its handler.</summary>
    public async ValueTask CompleteAsync(CancellationToken cancellation = default)
    {
        if (Interlocked.Exchange(ref _completed, 1) == 0)
        {
            if (UnflushedBytes > 0)
            {
                await FlushAsync(cancellation).ConfigureAwait(false);
            }

            await _end.CompleteWritingAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Cuts the stream at once: the other side sees it as closed.</summary>
    public void Abort() => _end.Abort();

    /// <summary>Cuts the stream if it still stands, and lets go of its connection.</summary>
    public ValueTask DisposeAsync() => _end.DisposeAsync();
}

/// <summary>What differs between the two ends of a stream.</summary>
internal abstract class RpcDuplexEnd : IAsyncDisposable
{
    public abstract string Target { get; }

    public abstract CancellationToken Closed { get; }

    public abstract RpcStatus Status { get; }

    public abstract ValueTask CompleteWritingAsync();

    /// <summary>The other direction has ended in good order.</summary>
    public abstract void ReadToEnd();

    public abstract void Abort();

    public abstract ValueTask DisposeAsync();
}
