// native.cc is native.c for the containers of C++.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define NOINLINE __attribute__((noinline))

namespace shop {

struct Session {
	char data[3000];
	explicit Session(int n) { memset(data, n, sizeof(data)); }
	virtual ~Session() = default;
};

class Cache {
public:
	NOINLINE void put(int n) { all.push_back(new Session(n)); }

private:
	std::vector<Session *> all;
};

class Index {
public:
	NOINLINE void add(int n, const std::string &text) { byNumber[n] = text; }

private:
	std::map<int, std::string> byNumber;
};

class Table {
public:
	NOINLINE void add(int n) { byName["user/" + std::to_string(n)].assign(700, n); }

private:
	std::unordered_map<std::string, std::vector<int>> byName;
};

// A cycle: neither is ever given back.
struct Node {
	std::shared_ptr<Node> other;
	char data[1500] = {1};
};

NOINLINE void pair_up()
{
	auto a = std::make_shared<Node>();
	auto b = std::make_shared<Node>();

	memset(a->data, 1, sizeof(a->data));
	memset(b->data, 1, sizeof(b->data));
	a->other = b;
	b->other = a;
}

// Rows that only grow.
class Rows {
public:
	NOINLINE void append(int n) { rows[n % 64].insert(rows[n % 64].end(), 750, n); }

private:
	std::vector<int> rows[64];
};

template <typename T> class Pool {
public:
	NOINLINE T *make(int n)
	{
		auto p = std::make_unique<T>(n);
		T *raw = p.get();
		all.push_back(std::move(p));
		return raw;
	}

private:
	std::vector<std::unique_ptr<T>> all;
};

} // namespace shop

NOINLINE void churn(int n)
{
	std::vector<std::unique_ptr<shop::Session>> batch;

	for (int i = 0; i < 30; i++)
		batch.push_back(std::make_unique<shop::Session>(n));
	std::map<int, std::string> counts;
	for (int i = 0; i < 30; i++)
		counts[i] = std::string(2900, 'y');
}

int main(int argc, char **argv)
{
	std::string mode = argc > 1 ? argv[1] : "new";
	shop::Cache cache;
	shop::Index index;
	shop::Table table;
	shop::Rows rows;
	shop::Pool<shop::Session> pool;

	for (int n = 0;; n++) {
		if (mode == "new")
			cache.put(n);
		else if (mode == "map")
			index.add(n, std::string(2900, 'x'));
		else if (mode == "unordered_map")
			table.add(n);
		else if (mode == "shared_ptr")
			shop::pair_up();
		else if (mode == "vector")
			rows.append(n);
		else if (mode == "template")
			pool.make(n);
		else
			return 2;
		churn(n);
		std::this_thread::sleep_for(std::chrono::microseconds(500));
	}
}
