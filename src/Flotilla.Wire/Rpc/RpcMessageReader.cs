using System.Buffers;
using System.IO.Pipelines;
using Google.Protobuf;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// Reads length-prefixed messages off a pipe without copying them. Use: <c>while (await WaitAsync(ct)) while (TryRead(out var m)) …</c>.
/// A message is valid until the next <see cref="WaitAsync"/>. One reader at a time.
/// </summary>
internal sealed class RpcMessageReader(PipeReader input, int maxMessageBytes, string target)
{
    private ReadOnlySequence<byte> _buffer;
    private bool _held;
    private bool _completed;

    /// <summary>Waits until a whole message is there. False: the other side has ended the stream in good order.</summary>
    public async ValueTask<bool> WaitAsync(CancellationToken cancellation)
    {
        try
        {
            while (true)
            {
                if (_held)
                {
                    if (RpcFraming.HasMessage(_buffer, maxMessageBytes))
                    {
                        return true;
                    }

                    var truncated = _completed && !_buffer.IsEmpty;
                    input.AdvanceTo(_buffer.Start, _buffer.End);
                    _held = false;
                    _buffer = default;
                    if (truncated)
                    {
                        throw RpcException.Protocol(RpcCode.Internal, "the stream ended inside a message");
                    }
                }

                if (_completed)
                {
                    return false;
                }

                var result = await input.ReadAsync(cancellation).ConfigureAwait(false);
                if (result.IsCanceled)
                {
                    throw new OperationCanceledException(cancellation);
                }

                _buffer = result.Buffer;
                _held = true;
                _completed = result.IsCompleted;
            }
        }
        catch (Exception e) when (e is not RpcException && RpcException.IsTransport(e) && !cancellation.IsCancellationRequested)
        {
            throw RpcException.FromTransport(e, target);
        }
    }

    /// <summary>Takes the next message, if a whole one is there.</summary>
    public bool TryRead(out ReadOnlySequence<byte> message)
    {
        if (_held)
        {
            return RpcFraming.TryRead(ref _buffer, maxMessageBytes, out message);
        }

        message = default;
        return false;
    }

    /// <summary>Reads the only message of a unary call, and the end of the stream behind it.</summary>
    public async ValueTask<T> ReadSingleAsync<T>(MessageParser<T> parser, CancellationToken cancellation)
        where T : class, IMessage<T>
    {
        if (!await WaitAsync(cancellation).ConfigureAwait(false) || !TryRead(out var bytes))
        {
            throw RpcException.Protocol(RpcCode.Internal, "the message of the call is missing");
        }

        var message = Parse(parser, bytes);
        return await WaitAsync(cancellation).ConfigureAwait(false)
            ? throw RpcException.Protocol(RpcCode.Internal, "the call takes one message and has more")
            : message;
    }

    /// <summary>Decodes a message.</summary>
    public static T Parse<T>(MessageParser<T> parser, ReadOnlySequence<byte> bytes)
        where T : class, IMessage<T>
    {
        try
        {
            return parser.ParseFrom(bytes);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Not InvalidProtocolBufferException alone: fuzzing met an IndexOutOfRangeException in the library's parser.
            throw new RpcException(RpcFailure.Protocol, RpcStatus.WithCode(RpcCode.InvalidArgument, "bad_request", $"not a valid {typeof(T).Name}: {e.Message}"), e);
        }
    }
}
