import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Leaks in one of several ways, while churn makes thirty times as much garbage. */
public class Leak {
    static final List<Object> SESSIONS = new ArrayList<>();
    static volatile Object sink;

    public static void main(String[] args) throws Exception {
        int pause = 5;
        for (int n = 0; ; n++) {
            switch (args[0]) {
                case "heap": SESSIONS.add(new byte[20_000]); break;
                case "old": SESSIONS.add(new byte[20_000]); if (n % 200 == 0) System.gc(); break;
                case "buffers": SESSIONS.add(ByteBuffer.allocateDirect(40_000)); break;
                case "large": if (n % 10 == 0) SESSIONS.add(ByteBuffer.allocateDirect(300_000)); break;
                case "threads": waiter(n).start(); break;
                case "classes": for (int i = 0; i < 5; i++) SESSIONS.add(loaded(n)); break;
                case "bounded": if (n < 500) SESSIONS.add(null); SESSIONS.set(n % 500, new byte[20_000]); break;
                default: throw new IllegalArgumentException(args[0]);
            }
            churn();
            Thread.sleep(pause);
        }
    }

    static void churn() {
        for (int i = 0; i < 30; i++) {
            sink = new byte[20_000];
        }
    }

    static Thread waiter(int n) {
        return new Thread(() -> {
            try {
                deep(300);
                Thread.sleep(1_000_000);
            } catch (InterruptedException e) {
                // It ends.
            }
        }, "pool-1-thread-" + n);
    }

    /** Touches its stack. */
    static int deep(int n) {
        return n == 0 ? 0 : 1 + deep(n - 1);
    }

    /** Each loader has a class of its own, as after one deployment more. */
    static Object loaded(int n) throws Exception {
        ClassLoader loader = new ClassLoader(null) {
            @Override
            protected Class<?> findClass(String name) throws ClassNotFoundException {
                try (java.io.InputStream in = Leak.class.getResourceAsStream("/" + name + ".class")) {
                    byte[] b = in.readAllBytes();
                    return defineClass(name, b, 0, b.length);
                } catch (java.io.IOException e) {
                    throw new ClassNotFoundException(name, e);
                }
            }
        };
        return Class.forName("Leak", true, loader);
    }
}
