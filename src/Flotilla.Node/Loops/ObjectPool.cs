using System.Collections.Concurrent;

namespace Flotilla.Node.Loops;

/// <summary>A bounded pool of reusable objects. Thread-safe. What does not fit is left to the garbage collector.</summary>
internal sealed class ObjectPool<T>(Func<T> create, int capacity)
    where T : class
{
    private readonly ConcurrentQueue<T> _free = new();
    private T? _fast;
    private int _count;

    /// <summary>A free object, or a new one.</summary>
    public T Rent()
    {
        var item = _fast;
        if (item is not null && Interlocked.CompareExchange(ref _fast, null, item) == item)
        {
            return item;
        }

        if (_free.TryDequeue(out item))
        {
            Interlocked.Decrement(ref _count);
            return item;
        }

        return create();
    }

    /// <summary>Gives an object back; the caller must hold no other reference that it will use.</summary>
    public void Return(T item)
    {
        if (_fast is null && Interlocked.CompareExchange(ref _fast, item, null) is null)
        {
            return;
        }

        if (Interlocked.Increment(ref _count) <= capacity)
        {
            _free.Enqueue(item);
        }
        else
        {
            Interlocked.Decrement(ref _count);
        }
    }
}
