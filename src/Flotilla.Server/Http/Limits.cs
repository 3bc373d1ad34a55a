namespace Flotilla.Server.Http;

/// <summary>What the door counts so that nothing waits without bound, and how it says that something is over a limit.</summary>
internal sealed class Limits(HttpDoorOptions options)
{
    private int _inFlight;
    private long _bodyBytes;

    /// <summary>Requests under way.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Bytes of request bodies held.</summary>
    public long BodyBytes => Interlocked.Read(ref _bodyBytes);

    /// <summary>True while no more requests than allowed are under way, the asking one included.</summary>
    public bool RoomForRequests => InFlight <= options.MaxInFlight;

    /// <summary>Says that a value is too long.</summary>
    public static string ValueOver(int max) => $"The value is over the limit of {max} bytes. Nothing was written.";

    /// <summary>Says that a key is too long.</summary>
    public static string KeyOver(int length, int max) => $"The key has {length} bytes; the limit is {max}. Nothing was written.";

    /// <summary>A request begins.</summary>
    public void Enter() => Interlocked.Increment(ref _inFlight);

    /// <summary>A request ends and lets go of what it holds.</summary>
    public void Leave(HttpExchange exchange)
    {
        Interlocked.Decrement(ref _inFlight);
        if (exchange.ReservedBytes != 0)
        {
            Interlocked.Add(ref _bodyBytes, -exchange.ReservedBytes);
            exchange.ReservedBytes = 0;
        }
    }

    /// <summary>Lets a request hold so many bytes of its body in all. False if the budget is used up; then nothing changes.</summary>
    public bool TryReserve(HttpExchange exchange, long bytes)
    {
        var more = bytes - exchange.ReservedBytes;
        if (more <= 0)
        {
            return true;
        }

        if (Interlocked.Add(ref _bodyBytes, more) > options.MaxBodyBytesInFlight)
        {
            Interlocked.Add(ref _bodyBytes, -more);
            return false;
        }

        exchange.ReservedBytes = bytes;
        return true;
    }
}
